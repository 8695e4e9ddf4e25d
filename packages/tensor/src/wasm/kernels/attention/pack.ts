/**
 * Copies between strided tensors and the matrices in scratch memory that tiles work on: each tensor is
 * read once here and then many times from there, whatever its strides.
 */

import {
  type FunctionBuilder,
  type I32,
  i32x4,
  f32x4,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import { entry, entryAt, integers, type Routine, routine, vectors } from "../code.js";

/** Rows of the tiles of a product. What tiles read is filled up to a multiple of it. */
export const tileRows = 4;

/** Columns of the tiles. */
export const tileColumns = 8;

/** The word of the float32 1, a scale that changes nothing. */
export const unit = 0x3f800000;

/** `n` rounded up to a multiple of `step`. */
export function roundUp(n: number, step: number): number {
  return Math.ceil(n / step) * step;
}

/** `n` rounded up to a multiple of a power of two. */
export function roundUpI32(n: I32, step: number): I32 {
  return n.add(step - 1).and(-step);
}

/**
 * Bytes from row to row of a matrix in scratch memory with `size` columns, where tiles may read and
 * write whole ones. Equal columns of neighbouring rows lie in different banks of the cache.
 */
export function matrixRowBytes(size: number): number {
  return roundUp(size, tileColumns) * 4 + 16;
}

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

/** Rows that are copied. */
export interface RowsSpec {
  /** Numbers in a row. */
  readonly size: number;
  /** Whether row numbers of the tensor go through the list `order`. */
  readonly gather?: boolean;
  /** Whether to tell if all numbers are finite. */
  readonly check?: boolean;
}

/** The row of a tensor that a number stands for. */
function named({ gather }: RowsSpec, order: I32, number: I32): I32 {
  return gather === true ? entry(order, number) : number;
}

/**
 * Copies rows of a tensor, times `scale`, to a matrix in scratch memory, or with `unpack` the other way:
 * `(source, sourceStride, count, destination, destinationStride, order, scale)`, strides in bytes.
 * A matrix is filled up to whole tiles: with copies of its last row, and with zeros in every row.
 *
 * Where that is checked it gives 1 if all numbers are finite, else 0.
 */
export function copyRows(module: ModuleBuilder, spec: RowsSpec, unpack = false): Routine {
  const { size, check = false } = spec;
  const key = `attention/${unpack ? "unpack" : "pack"} ${JSON.stringify(spec)}`;
  return routine(module, key, (f, source, fromStride, count, target, toStride, order, scale) => {
    const factor = f.let(i32x4.splat(scale));
    const [value, odd] = vectors(f, 2);
    const [row, from, to, number] = integers(f, 4);
    const last = f.let(count.subtract(1));
    f.for(row, 0, unpack ? count : roundUpI32(count, tileRows), 1, () => {
      f.set<I32>(number, row.minimum(last));
      const own = named(spec, order, number);
      f.set<I32>(from, source.add((unpack ? row : own).multiply(fromStride)));
      f.set<I32>(to, target.add((unpack ? own : row).multiply(toStride)));
      eachFour(unpack ? size : roundUp(size, tileColumns), (offset, lanes) => {
        const count = Math.min(lanes, size - offset / 4);
        f.set<V128>(
          value,
          count > 0 ? f32x4.multiply(loadPartial(from, offset, count), factor) : v128.zero(),
        );
        // x - x is 0 for finite x and NaN for all others.
        if (check) f.set<V128>(odd, odd.or(f32x4.subtract(value, value)));
        storePartial(f, to, value, lanes, offset);
      });
    });
    return odd.anyTrue().isZero();
  });
}

/**
 * Copies rows of a tensor, times `scale`, to the columns of a matrix in scratch memory whose rows are
 * `rowBytes` apart, with copies of the last one up to whole tiles. Parameters as above; the
 * destination's stride is not read.
 */
export function copyColumns(module: ModuleBuilder, spec: RowsSpec, rowBytes: number): Routine {
  const { size } = spec;
  const key = `attention/pack columns ${JSON.stringify(spec)} by ${rowBytes}`;
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
        f.set<I32>(address, source.add(named(spec, order, number).multiply(stride)));
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
