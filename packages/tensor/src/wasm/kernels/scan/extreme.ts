/**
 * Running maxima and minima, and where they were found: the last place at ties. NaN beats every
 * number, and a later NaN an earlier one.
 */

import type { DType } from "../../../tensor/dtype.js";
import { f32x4, i32x4, v128, type V128 } from "../../assembler/index.js";
import type { NativeKernel } from "../../native.js";
import { hasDenseBlocks } from "../strided.js";
import { scanLaunch, type ScanProgram } from "./lanes.js";

/** Which elements `x` take the place of `extreme`. */
function takePlaces(dtype: DType, isMax: boolean, x: V128, extreme: V128): V128 {
  const [a, b] = isMax ? [x, extreme] : [extreme, x];
  if (dtype === "float32") return f32x4.greaterEqual(a, b).or(f32x4.notEqual(x, x));
  return dtype === "uint32" ? i32x4.greaterEqualUnsigned(a, b) : i32x4.greaterEqual(a, b);
}

function extremeProgram(dtype: DType, isMax: boolean, outputs: string): ScanProgram {
  return {
    name: `${isMax ? "max" : "min"}/${dtype}/${outputs}`,
    start: ({ f }, parts, isSingle) => {
      const extremes = Array.from({ length: parts }, () => f.let(v128.zero()));
      const places = extremes.map(() => f.let(v128.zero()));
      return ({ index, load, storeValue, storeIndex }) => {
        const here = f.let(i32x4.splat(index));
        const isFirst = f.let(i32x4.equal(here, v128.zero()));
        extremes.forEach((extreme, part) => {
          const place = places[part]!;
          const element = f.let(load(part));
          const takes = f.let(takePlaces(dtype, isMax, element, extreme).or(isFirst));
          const take = (choose: (a: V128, b: V128) => V128): void => {
            f.set(extreme, choose(element, extreme));
            f.set(place, choose(here, place));
          };
          // For one lane a branch, because it is seldom taken or nearly always: choosing is slower.
          if (isSingle) f.if(takes.anyTrue(), () => take((a) => a));
          else take((a, b) => v128.bitselect(a, b, takes));
          if (outputs.includes("v")) storeValue(extreme, part);
          if (outputs.includes("i")) storeIndex(place, part);
        });
      };
    },
  };
}

function extremeKernel(op: string, isMax: boolean): NativeKernel {
  return {
    op,
    acceptsView: (node, _, view) => hasDenseBlocks(view, node.attributes.axis as number),
    lower: (step) => {
      const [values = null, indices = null] = step.outputs;
      const outputs = `${values === null ? "" : "v"}${indices === null ? "" : "i"}`;
      const program = extremeProgram(step.inputs[0]!.dtype, isMax, outputs);
      return [scanLaunch(step, program, values, indices)];
    },
  };
}

/** The kernel of `cumulativeMax`. */
export const cumulativeMaxKernel: NativeKernel = extremeKernel("cumulativeMax", true);

/** The kernel of `cumulativeMin`. */
export const cumulativeMinKernel: NativeKernel = extremeKernel("cumulativeMin", false);
