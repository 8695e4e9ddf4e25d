/**
 * Running maxima and minima, and where they were found: the last place at ties. NaN beats every
 * number, and a later NaN an earlier one.
 */

import type { DType } from "../../../tensor/dtype.js";
import {
  f32,
  type F32,
  f32x4,
  i32,
  type I32,
  i32x4,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { NativeKernel } from "../../native.js";
import { hasDenseBlocks } from "../strided.js";
import { scanLaunch, type ScanProgram } from "./lanes.js";

type Reaches = "float" | "signed" | "unsigned";

function kindOf(dtype: DType): Reaches {
  if (dtype === "float32") return "float";
  return dtype === "uint32" ? "unsigned" : "signed";
}

/** Whether integer `x` takes the place of `extreme`. */
function takesPlace(kind: Reaches, isMax: boolean, x: I32, extreme: I32): I32 {
  const [a, b] = isMax ? [x, extreme] : [extreme, x];
  return kind === "signed" ? a.greaterEqual(b) : a.greaterEqualUnsigned(b);
}

/** The same for floats. */
function floatTakesPlace(isMax: boolean, x: F32, extreme: F32): I32 {
  return (isMax ? x.greaterEqual(extreme) : x.lessEqual(extreme)).or(x.notEqual(x));
}

/** The same for vectors of either, as a mask. */
function takePlaces(kind: Reaches, isMax: boolean, x: V128, extreme: V128): V128 {
  if (kind === "float") {
    const reaches = isMax ? f32x4.greaterEqual(x, extreme) : f32x4.lessEqual(x, extreme);
    return reaches.or(f32x4.notEqual(x, x));
  }
  const [a, b] = isMax ? [x, extreme] : [extreme, x];
  return kind === "signed" ? i32x4.greaterEqual(a, b) : i32x4.greaterEqualUnsigned(a, b);
}

function extremeProgram(kind: Reaches, isMax: boolean, reads: string): ScanProgram {
  const [hasValues, hasIndices] = [reads.includes("v"), reads.includes("i")];
  return {
    name: `${isMax ? "max" : "min"}/${kind}/${reads}`,
    start: ({ f }, vectors) => {
      if (vectors === 0) {
        // A branch, because it is seldom taken or nearly always: choosing both ways is slower.
        const place = f.letI32(0);
        const [number, float] = [f.local(i32), f.local(f32)];
        return ({ x, values, indices, index }) => {
          const isFloat = kind === "float";
          const element = f.let(i32.load(x));
          const takes = isFloat
            ? floatTakesPlace(isMax, f32.reinterpret(element), float)
            : takesPlace(kind, isMax, element, number);
          f.if(takes.or(index.isZero()), () => {
            if (isFloat) f.set(float, f32.reinterpret(element));
            else f.set(number, element);
            f.set(place, index);
          });
          if (hasValues && isFloat) f.storeF32(values, float);
          else if (hasValues) f.storeI32(values, number);
          if (hasIndices) f.storeI32(indices, place);
        };
      }
      const extremes = Array.from({ length: vectors }, () => f.let(v128.zero()));
      const places = extremes.map(() => f.let(v128.zero()));
      return ({ x, values, indices, index }) => {
        const here = f.let(i32x4.splat(index));
        const isFirst = f.let(i32x4.equal(here, v128.zero()));
        extremes.forEach((extreme, part) => {
          const element = f.let(v128.load(x, 16 * part));
          const takes = f.let(takePlaces(kind, isMax, element, extreme).or(isFirst));
          f.set(extreme, v128.bitselect(element, extreme, takes));
          if (hasValues) f.storeV128(values, extreme, 16 * part);
          if (!hasIndices) return;
          const place = places[part]!;
          f.set(place, v128.bitselect(here, place, takes));
          f.storeV128(indices, place, 16 * part);
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
      const reads = `${values === null ? "" : "v"}${indices === null ? "" : "i"}`;
      const program = extremeProgram(kindOf(step.inputs[0]!.dtype), isMax, reads);
      return [scanLaunch(step, program, values, indices)];
    },
  };
}

/** The kernel of `cumulativeMax`. */
export const cumulativeMaxKernel: NativeKernel = extremeKernel("cumulativeMax", true);

/** The kernel of `cumulativeMin`. */
export const cumulativeMinKernel: NativeKernel = extremeKernel("cumulativeMin", false);
