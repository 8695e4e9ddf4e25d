/**
 * Copies between strided tensors and the matrices in scratch memory that tiles work on: each tensor is
 * read once here and then many times from there, whatever its strides.
 */

import {
  type FunctionBuilder,
  type I32,
  type I32Like,
  i32x4,
  f32x4,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { MathContext } from "../../math/index.js";
import { entry, entryAt, integers, type Routine, routine, vectors } from "../code.js";
import { type Matrix, roundUp, roundUpI32, tileColumns, tileRows, word } from "./matrix.js";

// The word of the float32 1.
const unit = 0x3f800000;

/** The first `lanes` numbers at an address, zeros above; reads nothing beyond them. */
export function loadPartial(address: I32, offset: number, lanes: number): V128 {
  if (lanes === 1) return v128.load32Zero(address, offset);
  if (lanes === 4) return v128.load(address, offset);
  const low = v128.load64Zero(address, offset);
  return lanes === 2 ? low : v128.load32Lane(address, low, 2, offset + 8);
}

/** Stores the first `lanes` numbers. */
export function storePartial(
  f: FunctionBuilder,
  address: I32,
  value: V128,
  lanes: number,
  offset: number,
): void {
  if (lanes === 4) f.storeV128(address, value, offset);
  else if (lanes === 1) f.storeLane(32, address, value, 0, offset);
  else {
    f.storeLane(64, address, value, 0, offset);
    if (lanes === 3) f.storeLane(32, address, value, 2, offset + 8);
  }
}

/** `body(offset, lanes)` for every four of `size` numbers in a row, and for what is left. */
export function eachFour(size: number, body: (offset: number, lanes: number) => void): void {
  for (let i = 0; i < size; i += 4) body(i * 4, Math.min(4, size - i));
}

/**
 * Rows of a tensor: where the first is, the bytes from row to row, and how many there are. With `order`
 * they are those whose numbers that list names.
 */
export type Rows = readonly [
  address: I32,
  stride: I32Like,
  count: I32Like,
  order?: I32 | undefined,
];

// The row that a number stands for.
function named(gathers: boolean, order: I32, number: I32): I32 {
  return gathers ? entry(order, number) : number;
}

// A function (source, sourceStride, count, destination, destinationStride, order, scale).
function copyFunction(
  module: ModuleBuilder,
  size: number,
  gathers: boolean,
  use: "pack" | "check" | "unpack",
): Routine {
  const unpacks = use === "unpack";
  const key = `attention/${use} ${size} ${gathers}`;
  return routine(module, key, (f, source, fromStride, count, target, toStride, order, scale) => {
    const factor = f.let(i32x4.splat(scale));
    const [value, odd] = vectors(f, 2);
    const [row, from, to, number] = integers(f, 4);
    const last = f.let(count.subtract(1));
    f.for(row, 0, unpacks ? count : roundUpI32(count, tileRows), 1, () => {
      f.set<I32>(number, row.minimum(last));
      const own = named(gathers, order, number);
      f.set<I32>(from, source.add((unpacks ? row : own).multiply(fromStride)));
      f.set<I32>(to, target.add((unpacks ? own : row).multiply(toStride)));
      eachFour(unpacks ? size : roundUp(size, tileColumns), (offset, lanes) => {
        const count = Math.min(lanes, size - offset / 4);
        f.set<V128>(
          value,
          count > 0 ? f32x4.multiply(loadPartial(from, offset, count), factor) : v128.zero(),
        );
        // x - x is 0 for finite x and NaN for all others.
        if (use === "check") f.set<V128>(odd, odd.or(f32x4.subtract(value, value)));
        storePartial(f, to, value, lanes, offset);
      });
    });
    return odd.anyTrue().isZero();
  });
}

// The same to columns whose elements are `rowBytes` apart; the stride of the destination is not read.
function copyColumnsFunction(
  module: ModuleBuilder,
  size: number,
  gathers: boolean,
  rowBytes: number,
): Routine {
  const key = `attention/pack columns ${size} ${gathers} ${rowBytes}`;
  return routine(module, key, (f, source, stride, count, target, _, order, scale) => {
    const factor = f.let(i32x4.splat(scale));
    const rows = integers(f, 4);
    const [row, column, to, number] = integers(f, 4);
    const last = f.let(count.subtract(1));
    const block = (lanes: number): void => {
      const loaded = rows.map((address) => f.let<V128>(loadPartial(address, 0, lanes)));
      for (const [i, vector] of transposed(f, loaded).slice(0, lanes).entries()) {
        f.storeV128(to, f32x4.multiply(vector, factor), i * rowBytes);
      }
    };
    f.for(row, 0, roundUpI32(count, tileColumns), 4, () => {
      rows.forEach((address, i) => {
        f.set<I32>(number, row.add(i));
        f.set<I32>(number, number.minimum(last));
        f.set<I32>(address, source.add(named(gathers, order, number).multiply(stride)));
      });
      f.set<I32>(to, entryAt(target, row));
      f.for(column, 0, size & -4, 4, () => {
        block(4);
        for (const address of rows) f.increment(address, 16);
        f.increment(to, 4 * rowBytes);
      });
      if (size % 4 > 0) block(size % 4);
    });
  });
}

/**
 * Copies rows of `size` numbers, times `scale` (a float32 as a word), to a matrix. It is filled up to
 * whole tiles: with copies of the last row, and with zeros in every row. With `check` it gives whether
 * all numbers are finite.
 */
export function pack(
  { module, f }: MathContext,
  size: number,
  [from, stride, count, order]: Rows,
  [to, rowBytes]: Matrix,
  scale: I32Like = unit,
  check = false,
): Local<I32> {
  const copy = copyFunction(module, size, order !== undefined, check ? "check" : "pack");
  return f.let(copy.call(...[from, stride, count, to, rowBytes, order ?? 0, scale].map(word)));
}

/** Copies rows to the columns of a matrix, with copies of the last one up to whole tiles. */
export function packColumns(
  { module, f }: MathContext,
  size: number,
  [from, stride, count, order]: Rows,
  [to, rowBytes]: Matrix,
  scale: I32Like = unit,
): void {
  const copy = copyColumnsFunction(module, size, order !== undefined, rowBytes);
  f.call(copy, ...[from, stride, count, to, 0, order ?? 0, scale].map(word));
}

/** Copies rows of a matrix to those of a tensor. */
export function unpack(
  { module, f }: MathContext,
  size: number,
  [from, rowBytes]: Matrix,
  [to, stride, count, order]: Rows,
): void {
  const copy = copyFunction(module, size, order !== undefined, "unpack");
  f.call(copy, ...[from, rowBytes, count, to, stride, order ?? 0, unit].map(word));
}

/** The transpose of four vectors. */
export function transposed(f: FunctionBuilder, rows: readonly V128[]): V128[] {
  const pair = (a: number, b: number, ...lanes: [number, number, number, number]): Local<V128> =>
    f.let(i32x4.shuffle(rows[a]!, rows[b]!, lanes));
  const [low, lower] = [pair(0, 1, 0, 4, 1, 5), pair(2, 3, 0, 4, 1, 5)];
  const [high, higher] = [pair(0, 1, 2, 6, 3, 7), pair(2, 3, 2, 6, 3, 7)];
  return [
    i32x4.shuffle(low, lower, [0, 1, 4, 5]),
    i32x4.shuffle(low, lower, [2, 3, 6, 7]),
    i32x4.shuffle(high, higher, [0, 1, 4, 5]),
    i32x4.shuffle(high, higher, [2, 3, 6, 7]),
  ];
}
