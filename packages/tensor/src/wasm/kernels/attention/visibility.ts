/** Which keys of a block each query sees: limits from causality and window, and masks. */

import {
  f32,
  type FunctionBuilder,
  i16x8,
  i32,
  type I32,
  i32x4,
  type Local,
  type ModuleBuilder,
  v128,
} from "../../assembler/index.js";
import type { MathContext } from "../../math/index.js";
import type { View } from "../arguments.js";
import { entry, entryAt, integers, limit, type Routine, routine, vectors } from "../code.js";
import { type Matrix, roundUpI32, tileRows } from "./matrix.js";
import { loadPartial, storePartial } from "./pack.js";

/** A limit of the window that limits nothing. */
export const noLimit: number = 1 << 29;

/**
 * Lists for each row of a block the first key that it sees and the one after the last, counted in the
 * block. `place` is the key number, in the block, of the first row's own place; a row sees `left` keys
 * before its own and `right` behind.
 */
export function listLimits(
  f: FunctionBuilder,
  place: I32,
  [rows, columns]: readonly [I32, I32],
  [left, right]: readonly [I32, I32],
  [[lows], [highs]]: readonly [Matrix, Matrix],
): void {
  const [row, number] = integers(f, 2);
  f.for(row, 0, roundUpI32(rows, tileRows), 1, () => {
    limit(f, number, place.add(row).subtract(left), columns);
    f.storeI32(entryAt(lows, row), number);
    limit(f, number, place.add(row).add(right).add(1), columns);
    f.storeI32(entryAt(highs, row), number);
  });
}

/** Writes a number to what a row, which starts at `rowAt`, does not see of the range of its tile. */
export function hideUnseen(
  f: FunctionBuilder,
  row: I32,
  rowAt: I32,
  [start, end]: readonly [I32, I32],
  [lows, highs]: readonly [I32, I32],
  number: number,
): void {
  const at = f.local(i32);
  const fill = (from: I32, to: I32): void => {
    f.for(at, from, to, 4, () => {
      f.storeF32(rowAt.add(at), f32.const(number));
    });
  };
  fill(start, entry(lows, row).shiftLeft(2));
  fill(entry(highs, row).shiftLeft(2), end);
}

/** The columns that the tile of `row` uses, as whole vectors: from where to where, in bytes. */
export function tileRange(
  f: FunctionBuilder,
  row: I32,
  [lows, highs]: readonly [I32, I32],
): [Local<I32>, Local<I32>] {
  const first = f.let(row.and(-tileRows));
  return [
    f.let(entry(lows, first).and(-4).shiftLeft(2)),
    f.let(roundUpI32(entry(highs, first, tileRows - 1), 4).shiftLeft(2)),
  ];
}

/** What is said about every pair of query and key: nothing, whether it is visible, a number to add. */
export type Guide = "mask" | "bias" | null;

/**
 * Copies the guide of a pair of blocks, which starts at `position`, to scratch memory, and goes on with
 * `body`, which is given the bytes between its rows there, unless it hides everything.
 */
export function withGuide(
  { module, f }: MathContext,
  kind: Guide,
  guide: View,
  position: readonly I32[],
  [rows, columns]: readonly [I32, I32],
  [destination, rowBytes]: Matrix,
  body: (stride: I32) => void,
): void {
  const [none, one] = [i32.const(0), i32.const(1)];
  if (kind === null) {
    body(none);
    return;
  }
  const [, , row, column] = guide.strides as [I32, I32, Local<I32>, I32];
  // A mask for all queries alike is copied once.
  const isAlike = row.isZero();
  const copy = guideFunction(module, kind, rowBytes);
  const source = guide.at(...position);
  f.if(copy.call(source, row, column, isAlike.select(one, rows), columns, destination), () => {
    body(isAlike.select(none, i32.const(rowBytes)));
  });
}

/**
 * `(source, rowStride, columnStride, rows, columns, destination)`: copies a block of a mask or bias to
 * scratch memory, rows `rowBytes` apart: masks as words of ones or zeros, biases as they are. Gives 0
 * if all words are 0, as those of a mask that hides everything are.
 */
function guideFunction(module: ModuleBuilder, kind: Guide, rowBytes: number): Routine {
  const key = `attention/guide ${kind} ${rowBytes}`;
  return routine(module, key, (f, source, rowStride, columnStride, rows, columns, destination) => {
    const [row, column, from, to] = integers(f, 4);
    const [any, words] = vectors(f, 2);
    const size = kind === "mask" ? 1 : 4;
    const whole = f.let(columnStride.equal(size).select(columns.and(-4), i32.const(0)));
    const copy = (lanes: 1 | 4): void => {
      if (kind === "bias") f.set(words, loadPartial(from, 0, lanes));
      else {
        const halfs = i16x8.extendLowUnsigned(v128.load32Zero(from));
        const bytes =
          lanes === 1 ? i32x4.splat(i32.load8Unsigned(from)) : i32x4.extendLowUnsigned(halfs);
        f.set(words, i32x4.notEqual(bytes, v128.zero()));
      }
      f.set(any, any.or(words));
      storePartial(f, to, words, lanes, 0);
      f.increment(from, columnStride.multiply(lanes));
      f.increment(to, 4 * lanes);
    };
    f.for(row, 0, rows, 1, () => {
      f.set<I32>(from, source.add(row.multiply(rowStride)));
      f.set<I32>(to, destination.add(row.multiply(rowBytes)));
      f.for(column, 0, whole, 4, () => {
        copy(4);
      });
      f.for(column, whole, columns, 1, () => {
        copy(1);
      });
    });
    return kind === "mask" ? any.anyTrue() : i32.const(1);
  });
}
