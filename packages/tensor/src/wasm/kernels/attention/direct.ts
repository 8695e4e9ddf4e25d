/**
 * Products of one query with the keys and values where they are: for decoding, where each key is used
 * once and packing would cost more than it saves.
 */

import {
  f32x4,
  type FunctionBuilder,
  i32,
  type I32,
  type ModuleBuilder,
  v128,
} from "../../assembler/index.js";
import { entryAt, integers, type Routine, routine } from "../code.js";
import { eachFour, loadPartial, storePartial, transposed } from "./pack.js";
import { sumOfLanes } from "./weights.js";

/** `(query, keys, stride, low, high, scores)`: the scores of keys `low … high - 1`, four at a time. */
export function directScoresFunction(module: ModuleBuilder, size: number): Routine {
  const key = `attention/direct scores ${size}`;
  return routine(module, key, (f, query, keys, stride, low, high, scores) => {
    const [column, at, end, to, from] = integers(f, 5);
    const rows = f.localArray(i32, 4);
    const sums = f.localArray(v128, 4);
    const part = f.local(v128);
    f.set<I32>(to, entryAt(scores, low));
    f.set<I32>(from, keys.add(low.multiply(stride)));
    const add = (count: number): void => {
      const own = rows.slice(0, count);
      own.forEach((row, i) => {
        f.set<I32>(row, from);
        f.increment(from, stride);
        f.set(sums[i]!, v128.zero());
      });
      const step = (lanes: number): void => {
        f.set(part, loadPartial(at, 0, lanes));
        own.forEach((row, i) => {
          f.set(sums[i]!, module.madd(part, loadPartial(row, 0, lanes), sums[i]!));
          f.increment(row, 16);
        });
      };
      f.set<I32>(at, query);
      f.set<I32>(end, at.add((size & -4) * 4));
      f.forAddress(at, at, end, 16, () => {
        step(4);
      });
      if (size % 4 > 0) step(size % 4);
    };
    const fours = f.let(low.add(high.subtract(low).and(-4)));
    f.for(column, low, fours, 4, () => {
      add(4);
      f.storeV128(
        to,
        transposed(f, sums).reduce((a, b) => f32x4.add(a, b)),
      );
      f.increment(to, 16);
    });
    f.for(column, fours, high, 1, () => {
      add(1);
      f.set(part, sumOfLanes(f, sums[0]!));
      f.storeLane(32, to, part, 0);
      f.increment(to, 4);
    });
  });
}

/**
 * `body(offset, vectors)` for the columns of rows of `size` numbers, up to `most` vectors at a time;
 * each vector is its offset behind the first, and how many of its lanes are columns.
 */
export function forColumns(
  f: FunctionBuilder,
  size: number,
  most: number,
  body: (offset: I32, vectors: readonly (readonly [offset: number, lanes: number])[]) => void,
): void {
  const bytes = most * 16;
  const whole = Math.floor((size * 4) / bytes) * bytes;
  const vectorsOf = (count: number): [number, number][] => {
    const list: [number, number][] = [];
    eachFour(count, (offset, lanes) => {
      list.push([offset, lanes]);
    });
    return list;
  };
  const offset = f.local(i32);
  f.for(offset, 0, whole, bytes, () => {
    body(offset, vectorsOf(most * 4));
  });
  const rest = size - whole / 4;
  if (rest > 0) body(i32.const(whole), vectorsOf(rest));
}

/**
 * `(weights, values, stride, low, high, output, factor)`: multiplies the output by the factor at an
 * address and adds the values `low … high - 1` times weights. Weights of 0, as hidden keys have, take
 * nothing from their values.
 */
export function directOutputFunction(module: ModuleBuilder, size: number): Routine {
  const key = `attention/direct output ${size}`;
  return routine(module, key, (f, weights, values, stride, low, high, output, factor) => {
    const [column, from, to] = integers(f, 3);
    const [weight, zero] = [f.local(v128), f.constant(v128.zero())];
    const sums = f.localArray(v128, 8);
    forColumns(f, size, 8, (offset, vectors) => {
      f.set<I32>(to, output.add(offset));
      f.set(weight, v128.load32Splat(factor));
      vectors.forEach(([at, lanes], i) => {
        f.set(sums[i]!, f32x4.multiply(loadPartial(to, at, lanes), weight));
      });
      f.set<I32>(from, values.add(low.multiply(stride)).add(offset));
      f.for(column, low, high, 1, () => {
        f.set(weight, v128.load32Splat(entryAt(weights, column)));
        f.if(f32x4.notEqual(weight, zero).anyTrue(), () => {
          vectors.forEach(([at, lanes], i) => {
            f.set(sums[i]!, module.madd(weight, loadPartial(from, at, lanes), sums[i]!));
          });
        });
        f.increment(from, stride);
      });
      vectors.forEach(([at, lanes], i) => {
        storePartial(f, to, sums[i]!, lanes, at);
      });
    });
  });
}
