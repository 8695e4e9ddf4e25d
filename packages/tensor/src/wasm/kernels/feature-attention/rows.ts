/** Passes over the rows of matrices in scratch memory. */

import {
  f32x4,
  type FunctionBuilder,
  i32,
  type I32,
  i32x4,
  type Local,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { MathContext } from "../../math/index.js";
import type { Matrix } from "../attention/matrix.js";
import { sumOfLanes } from "../attention/weights.js";
import { entryAt } from "../code.js";

/** `body(row, at)` for each of `count` rows. */
export function eachRow(
  f: FunctionBuilder,
  [address, rowBytes]: readonly [I32, number],
  count: I32,
  body: (row: Local<I32>, at: Local<I32>) => void,
): void {
  const row = f.local(i32);
  const at = f.let(address);
  f.for(row, 0, count, 1, () => {
    body(row, at);
    f.increment(at, rowBytes);
  });
}

/**
 * `body(offset, keep)` for the vectors of a row of `size` numbers; `keep` makes 0 of the lanes of a
 * vector that lie behind the row.
 */
export function eachVector(
  f: FunctionBuilder,
  size: number,
  body: (offset: I32, keep: (x: V128) => V128) => void,
): void {
  const offset = f.local(i32);
  const whole = size & -4;
  f.for(offset, 0, whole * 4, 16, () => {
    body(offset, (x) => x);
  });
  if (whole === size) return;
  const lanes = [0, 1, 2, 3].map((lane) => (whole + lane < size ? -1 : 0));
  const mask = f.constant(i32x4.const(...(lanes as [number, number, number, number])));
  body(i32.const(whole * 4), (x) => x.and(mask));
}

/** The entry of a list in all lanes. */
export function splatEntry(list: I32, number: I32, offset = 0): V128 {
  return v128.load32Splat(entryAt(list, number), offset);
}

/** Stores the first lane as an entry of a list. */
export function storeEntry(f: FunctionBuilder, list: I32, number: I32, value: V128): void {
  f.storeLane(32, entryAt(list, number), value, 0);
}

/** Adds the sum of the lanes to an entry of a list. */
export function addToEntry(f: FunctionBuilder, list: I32, number: I32, lanes: Local<V128>): void {
  const before = splatEntry(list, number);
  storeEntry(f, list, number, f.let(f32x4.add(before, sumOfLanes(f, lanes))));
}

/** The product of two rows of `size` numbers in all lanes. */
export function dotProduct({ module, f }: MathContext, a: I32, b: I32, size: number): V128 {
  const sum = f.let<V128>(v128.zero());
  eachVector(f, size, (offset, keep) => {
    const product = [v128.load(a.add(offset)), v128.load(b.add(offset))] as const;
    f.set<V128>(sum, module.madd(keep(product[0]), keep(product[1]), sum));
  });
  return sumOfLanes(f, sum);
}

/** `body(x)` in place of every vector of a row. */
export function changeRow(
  f: FunctionBuilder,
  at: I32,
  size: number,
  body: (x: V128, offset: I32) => V128,
): void {
  eachVector(f, size, (offset) => {
    f.storeV128(at.add(offset), body(v128.load(at.add(offset)), offset));
  });
}

/** `total = decay · total + Σ rows`, where each row is taken times its entry of a list. */
export function addRows(
  { module, f }: MathContext,
  [rows, rowBytes]: Matrix,
  count: I32,
  size: number,
  total: I32,
  decay: V128 | null = null,
  factors: I32 | null = null,
): void {
  const sum = f.local(v128);
  eachVector(f, size, (offset) => {
    const before = v128.load(total.add(offset));
    f.set<V128>(sum, decay === null ? before : f32x4.multiply(before, decay));
    eachRow(f, [rows.add(offset), rowBytes], count, (row, at) => {
      const own = v128.load(at);
      const next =
        factors === null ? f32x4.add(sum, own) : module.madd(own, splatEntry(factors, row), sum);
      f.set<V128>(sum, next);
    });
    f.storeV128(total.add(offset), sum);
  });
}

/** 1 / x, or 0 where x is 0. */
export function inverse(f: FunctionBuilder, x: V128): Local<V128> {
  const kept = f.keep(x);
  const one = f.constant(f32x4.splat(1));
  return f.let<V128>(f32x4.divide(one, kept).andNot(f32x4.equal(kept, f.constant(v128.zero()))));
}
