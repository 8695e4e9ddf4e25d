/** Running sums and products. Those of floats are kept in float64, so that long ones stay exact. */

import {
  f32,
  f32x4,
  f64,
  f64x2,
  type F64,
  i32,
  type I32,
  i32x4,
  type Local,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { NativeKernel } from "../../native.js";
import { hasDenseBlocks } from "../strided.js";
import { scanLaunch, type ScanProgram } from "./lanes.js";

/** How elements are joined, and what the joining starts with. */
interface Join {
  readonly name: string;
  readonly neutral: number;
  readonly float: (a: F64, b: F64) => F64;
  readonly floats: (a: V128, b: V128) => V128;
  readonly integer: (a: I32, b: I32) => I32;
  readonly integers: (a: V128, b: V128) => V128;
}

const sum: Join = {
  name: "sum",
  neutral: 0,
  float: (a, b) => a.add(b),
  floats: (a, b) => f64x2.add(a, b),
  integer: (a, b) => a.add(b),
  integers: (a, b) => i32x4.add(a, b),
};

const product: Join = {
  name: "product",
  neutral: 1,
  float: (a, b) => a.multiply(b),
  floats: (a, b) => f64x2.multiply(a, b),
  integer: (a, b) => a.multiply(b),
  integers: (a, b) => i32x4.multiply(a, b),
};

function floatProgram(join: Join): ScanProgram {
  return {
    name: `${join.name}/float`,
    start: ({ f }, vectors) => {
      if (vectors === 0) {
        const accumulator = f.let(f64.const(join.neutral));
        return ({ x, values }) => {
          f.set(accumulator, join.float(accumulator, f64.promote(f32.load(x))));
          f.storeF32(values, f32.demote(accumulator));
        };
      }
      const neutral = f64x2.splat(join.neutral);
      const accumulators = Array.from({ length: vectors }, (): [Local<V128>, Local<V128>] => [
        f.let(neutral),
        f.let(neutral),
      ]);
      return ({ x, values }) => {
        accumulators.forEach(([low, high], part) => {
          const element = f.let(v128.load(x, 16 * part));
          const upper = i32x4.shuffle(element, element, [2, 3, 2, 3]);
          f.set(low, join.floats(low, f64x2.promoteLowF32x4(element)));
          f.set(high, join.floats(high, f64x2.promoteLowF32x4(upper)));
          const [a, b] = [f32x4.demoteF64x2Zero(low), f32x4.demoteF64x2Zero(high)];
          f.storeV128(values, i32x4.shuffle(a, b, [0, 1, 4, 5]), 16 * part);
        });
      };
    },
  };
}

function integerProgram(join: Join): ScanProgram {
  return {
    name: `${join.name}/integer`,
    start: ({ f }, vectors) => {
      if (vectors === 0) {
        const accumulator = f.letI32(join.neutral);
        return ({ x, values }) => {
          f.set<I32>(accumulator, join.integer(accumulator, i32.load(x)));
          f.storeI32(values, accumulator);
        };
      }
      const accumulators = Array.from({ length: vectors }, () => f.let(i32x4.splat(join.neutral)));
      return ({ x, values }) => {
        accumulators.forEach((accumulator, part) => {
          f.set(accumulator, join.integers(accumulator, v128.load(x, 16 * part)));
          f.storeV128(values, accumulator, 16 * part);
        });
      };
    },
  };
}

function accumulateKernel(op: string, join: Join): NativeKernel {
  return {
    op,
    acceptsView: (node, _, view) => hasDenseBlocks(view, node.attributes.axis as number),
    lower: (step) => {
      const isFloat = step.inputs[0]!.dtype === "float32";
      const program = isFloat ? floatProgram(join) : integerProgram(join);
      return [scanLaunch(step, program, step.outputs[0]!, null)];
    },
  };
}

/** The kernel of `cumulativeSum`. */
export const cumulativeSumKernel: NativeKernel = accumulateKernel("cumulativeSum", sum);

/** The kernel of `cumulativeProduct`. */
export const cumulativeProductKernel: NativeKernel = accumulateKernel("cumulativeProduct", product);
