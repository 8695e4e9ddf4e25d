/**
 * Running maxima and minima, and where they were found: the last place at ties. NaN beats every
 * number, and a later NaN an earlier one.
 */

import type { DType } from "../../../tensor/dtype.js";
import { f32, f32x4, i32, type I32, i32x4, v128, type V128 } from "../../assembler/index.js";
import type { NativeKernel } from "../../native.js";
import { hasDenseBlocks } from "../strided.js";
import { scanLaunch, type ScanProgram } from "./lanes.js";

type Reaches = "float" | "signed" | "unsigned";

function kindOf(dtype: DType): Reaches {
  if (dtype === "float32") return "float";
  return dtype === "uint32" ? "unsigned" : "signed";
}

/** Whether `x` takes the place of `extreme`; both are bits in locals. */
function takesPlace(kind: Reaches, isMax: boolean, x: I32, extreme: I32): I32 {
  if (kind === "float") {
    const [a, b] = [f32.reinterpret(x), f32.reinterpret(extreme)];
    return (isMax ? a.greaterEqual(b) : a.lessEqual(b)).or(a.notEqual(a));
  }
  if (kind === "signed") return isMax ? x.greaterEqual(extreme) : x.lessEqual(extreme);
  return isMax ? x.greaterEqualUnsigned(extreme) : x.lessEqualUnsigned(extreme);
}

/** The same for vectors, as a mask. */
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
        const [extreme, place] = [f.letI32(0), f.letI32(0)];
        return ({ x, values, indices, index }) => {
          const element = f.let(i32.load(x));
          const takes = f.let(takesPlace(kind, isMax, element, extreme).or(index.isZero()));
          f.set(extreme, takes.select(element, extreme));
          if (hasValues) f.storeI32(values, extreme);
          if (!hasIndices) return;
          f.set(place, takes.select(index, place));
          f.storeI32(indices, place);
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
