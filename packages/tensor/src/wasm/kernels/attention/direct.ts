/**
 * Products of one query with the keys and values where they are: for decoding, where each key is used
 * once and packing would cost more than it saves.
 */

import {
  f32x4,
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import { loadPartial, procedure, storePartial, transposed } from "./pack.js";
import { sumOfLanes } from "./weights.js";

type I = typeof i32;
type ScoresParameters = readonly [I, I, I, I, I, I];

const scoresParameters: ScoresParameters = [i32, i32, i32, i32, i32, i32];

/** `(query, keys, stride, low, high, scores)`: the scores of the keys `low … high - 1`. */
export type DirectScoresFunction = FunctionReference<ScoresParameters, null>;

/** Scores of one query, four keys at a time. */
export function directScoresFunction(module: ModuleBuilder, size: number): DirectScoresFunction {
  const key = `attention/direct scores ${size}`;
  return procedure(module, key, scoresParameters, (f, query, keys, stride, low, high, scores) => {
    const [column, to] = [f.local(i32), f.let(scores.add(low.shiftLeft(2)))];
    const from = f.let(keys.add(low.multiply(stride)));
    const rows = f.localArray(i32, 4);
    const sums = f.localArray(v128, 4);
    const part = f.local(v128);
    const add = (count: number): void => {
      rows.slice(0, count).forEach((row, i) => {
        f.set<I32>(row, i === 0 ? from : rows[i - 1]!.add(stride));
        f.set<V128>(sums[i]!, v128.zero());
      });
      const at = f.let(query);
      const step = (lanes: number): void => {
        f.set<V128>(part, loadPartial(at, 0, lanes));
        rows.slice(0, count).forEach((row, i) => {
          f.set<V128>(sums[i]!, module.madd(part, loadPartial(row, 0, lanes), sums[i]!));
        });
      };
      const end = f.let(at.add((size & ~3) * 4));
      f.forAddress(at, at, end, 16, () => {
        step(4);
        for (const row of rows.slice(0, count)) f.increment(row, 16);
      });
      if (size % 4 > 0) step(size % 4);
      f.increment(from, stride.multiply(count));
    };
    const fours = f.let(low.add(high.subtract(low).and(-4)));
    f.for(column, low, fours, 4, () => {
      add(4);
      f.storeV128(to, sumsOfFour(f, sums));
      f.increment(to, 16);
    });
    f.for(column, fours, high, 1, () => {
      add(1);
      f.set<V128>(part, sumOfLanes(f, sums[0]!));
      f.storeLane(32, to, part, 0);
      f.increment(to, 4);
    });
  });
}

/** The sums of the lanes of four vectors. */
function sumsOfFour(f: FunctionBuilder, vectors: readonly V128[]): V128 {
  const [a, b, c, d] = transposed(f, vectors) as [V128, V128, V128, V128];
  return f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
}

type OutputParameters = readonly [I, I, I, I, I, I, I];

const outputParameters: OutputParameters = [i32, i32, i32, i32, i32, i32, i32];

/**
 * `(weights, values, stride, low, high, output, factor)`: multiplies the output by the factor at an
 * address and adds the values `low … high - 1`.
 */
export type DirectOutputFunction = FunctionReference<OutputParameters, null>;

/** Values times weights. Weights of 0, as hidden keys have, take nothing from their values. */
export function directOutputFunction(module: ModuleBuilder, size: number): DirectOutputFunction {
  const key = `attention/direct output ${size}`;
  return procedure(
    module,
    key,
    outputParameters,
    (f, weights, values, stride, low, high, output, factor) => {
      const [column, from, weightAt] = [f.local(i32), f.local(i32), f.local(i32)];
      const [weight, zero] = [f.local(v128), f.constant(v128.zero())];
      const sums = f.localArray(v128, 8);
      const columns = (offset: I32, lanes: readonly number[]): void => {
        const to = f.let(output.add(offset));
        f.set<V128>(weight, v128.load32Splat(factor));
        lanes.forEach((n, i) => {
          f.set<V128>(sums[i]!, f32x4.multiply(loadPartial(to, i * 16, n), weight));
        });
        f.set<I32>(from, values.add(low.multiply(stride)).add(offset));
        f.set<I32>(weightAt, weights.add(low.shiftLeft(2)));
        f.for(column, low, high, 1, () => {
          f.set<V128>(weight, v128.load32Splat(weightAt));
          f.if(f32x4.notEqual(weight, zero).anyTrue(), () => {
            lanes.forEach((n, i) => {
              f.set<V128>(sums[i]!, module.madd(weight, loadPartial(from, i * 16, n), sums[i]!));
            });
          });
          f.increment(from, stride);
          f.increment(weightAt, 4);
        });
        lanes.forEach((n, i) => {
          storePartial(f, to, sums[i]!, n, i * 16);
        });
      };
      const whole = Math.floor(size / 32);
      if (whole > 0) {
        const offset = f.local(i32);
        f.for(offset, 0, whole * 128, 128, () => {
          columns(offset, [4, 4, 4, 4, 4, 4, 4, 4]);
        });
      }
      const rest = size % 32;
      if (rest > 0) {
        const lanes = Array.from({ length: Math.ceil(rest / 4) }, (_, i) =>
          Math.min(4, rest - i * 4),
        );
        columns(i32.const(whole * 128), lanes);
      }
    },
  );
}
