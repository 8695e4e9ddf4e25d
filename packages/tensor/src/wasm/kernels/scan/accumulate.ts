/** Running sums and products. Those of floats are kept in float64, so that long ones stay exact. */

import { f32x4, f64x2, i32x4, type V128 } from "../../assembler/index.js";
import type { NativeKernel } from "../../native.js";
import { hasDenseBlocks } from "../strided.js";
import { scanLaunch, type ScanProgram } from "./lanes.js";

type Join = (a: V128, b: V128) => V128;

function floatProgram(name: string, neutral: number, join: Join): ScanProgram {
  return {
    name: `${name}/float`,
    start: ({ f }, parts, isSingle) => {
      const start = f64x2.splat(neutral);
      const accumulators = Array.from(
        { length: parts },
        () => [f.let(start), f.let(start)] as const,
      );
      return ({ load, storeValue }) => {
        accumulators.forEach(([low, high], part) => {
          const element = f.let(load(part));
          f.set(low, join(low, f64x2.promoteLowF32x4(element)));
          let value = f32x4.demoteF64x2Zero(low);
          if (!isSingle) {
            const upper = i32x4.shuffle(element, element, [2, 3, 2, 3]);
            f.set(high, join(high, f64x2.promoteLowF32x4(upper)));
            value = i32x4.shuffle(value, f32x4.demoteF64x2Zero(high), [0, 1, 4, 5]);
          }
          storeValue(value, part);
        });
      };
    },
  };
}

function integerProgram(name: string, neutral: number, join: Join): ScanProgram {
  return {
    name: `${name}/integer`,
    start: ({ f }, parts) => {
      const accumulators = Array.from({ length: parts }, () => f.let(i32x4.splat(neutral)));
      return ({ load, storeValue }) => {
        accumulators.forEach((accumulator, part) => {
          f.set(accumulator, join(accumulator, load(part)));
          storeValue(accumulator, part);
        });
      };
    },
  };
}

function accumulateKernel(op: string, neutral: number, floats: Join, integers: Join): NativeKernel {
  return {
    op,
    acceptsView: (node, _, view) => hasDenseBlocks(view, node.attributes.axis as number),
    lower: (step) => {
      const isFloat = step.inputs[0]!.dtype === "float32";
      const program = isFloat
        ? floatProgram(op, neutral, floats)
        : integerProgram(op, neutral, integers);
      return [scanLaunch(step, program, step.outputs[0]!, null)];
    },
  };
}

/** The kernel of `cumulativeSum`. */
export const cumulativeSumKernel: NativeKernel = accumulateKernel(
  "cumulativeSum",
  0,
  (a, b) => f64x2.add(a, b),
  (a, b) => i32x4.add(a, b),
);

/** The kernel of `cumulativeProduct`. */
export const cumulativeProductKernel: NativeKernel = accumulateKernel(
  "cumulativeProduct",
  1,
  (a, b) => f64x2.multiply(a, b),
  (a, b) => i32x4.multiply(a, b),
);
