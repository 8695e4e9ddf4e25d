/** Which keys of a block each query sees: limits from causality and window, and masks. */

import {
  f32x4,
  type FunctionBuilder,
  type FunctionReference,
  i16x8,
  i32,
  type I32,
  i32x4,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import { procedure, roundUpI32 } from "./pack.js";
import { tileRows } from "./register-tile.js";

/** A limit of the window that limits nothing. */
export const noLimit: number = 1 << 29;

type I = typeof i32;
type LimitsParameters = readonly [I, I, I, I, I, I, I];

const limitsParameters: LimitsParameters = [i32, i32, i32, i32, i32, i32, i32];

/** `(place, rows, columns, left, right, lows, highs)`. */
export type LimitsFunction = FunctionReference<LimitsParameters, null>;

/**
 * Lists for each row of a block the first key that it sees and the one after the last, counted in the
 * block. `place` is the key number, in the block, of the first row's own place.
 */
export function limitsFunction(module: ModuleBuilder): LimitsFunction {
  return procedure(
    module,
    "attention/limits",
    limitsParameters,
    (f, place, rows, columns, left, right, lows, highs) => {
      const [row, low, high] = [f.local(i32), f.local(i32), f.local(i32)];
      f.for(row, 0, roundUpI32(rows, tileRows), 1, () => {
        limit(f, low, place.add(row).subtract(left), columns);
        limit(f, high, place.add(row).add(right).add(1), columns);
        f.storeI32(lows.add(row.shiftLeft(2)), low);
        f.storeI32(highs.add(row.shiftLeft(2)), high);
      });
    },
  );
}

/** Sets `local` to a value limited to 0 … `last`. */
function limit(f: FunctionBuilder, local: Local<I32>, value: I32, last: I32): void {
  f.set<I32>(local, value);
  f.set<I32>(local, local.minimum(last));
  f.set<I32>(local, local.maximum(0));
}

/** What is said about every pair of query and key: nothing, whether it is visible, a number to add. */
export type Guide = "mask" | "bias" | null;

type GuideParameters = readonly [I, I, I, I, I, I];

const guideParameters: GuideParameters = [i32, i32, i32, i32, i32, i32];

/**
 * `(source, rowStride, columnStride, rows, columns, destination)`: 1 unless it is a mask that hides
 * everything.
 */
export type GuideFunction = FunctionReference<GuideParameters, I32>;

/**
 * Copies a block of a mask or bias to scratch memory, rows `rowBytes` apart: masks as words of ones
 * or zeros, biases as they are.
 */
export function guideFunction(
  module: ModuleBuilder,
  kind: "mask" | "bias",
  rowBytes: number,
): GuideFunction {
  const key = `attention/guide ${kind} ${rowBytes}`;
  const known = module.get(key);
  if (known !== undefined) return known as unknown as GuideFunction;
  return module.function(
    key,
    { parameters: guideParameters, result: i32 },
    (f, source, rowStride, columnStride, rows, columns, destination) => {
      const [row, column, from, to] = [f.local(i32), f.local(i32), f.local(i32), f.local(i32)];
      const [start, any, word] = [f.let(source), f.local(i32), f.local(i32)];
      const [anyOf, words] = [f.local(v128), f.local(v128)];
      const size = kind === "mask" ? 1 : 4;
      const whole = f.let(columnStride.equal(size).select(columns.and(-4), i32.const(0)));
      f.for(row, 0, rows, 1, () => {
        f.set<I32>(from, start);
        f.set<I32>(to, destination.add(row.multiply(rowBytes)));
        f.for(column, 0, whole, 4, () => {
          if (kind === "mask") {
            const halfs = i16x8.extendLowUnsigned(v128.load32Zero(from));
            f.set<V128>(words, i32x4.extendLowUnsigned(halfs));
            f.set<V128>(words, i32x4.notEqual(words, v128.zero()));
            f.set<V128>(anyOf, anyOf.or(words));
            f.storeV128(to, words);
          } else f.storeV128(to, v128.load(from));
          f.increment(from, 4 * size);
          f.increment(to, 16);
        });
        f.for(column, whole, columns, 1, () => {
          if (kind === "mask") {
            f.set<I32>(word, i32.const(0).subtract(i32.load8Unsigned(from).notEqual(0)));
            f.set<I32>(any, any.or(word));
            f.storeI32(to, word);
          } else f.storeI32(to, i32.load(from));
          f.increment(from, columnStride);
          f.increment(to, 4);
        });
        f.increment(start, rowStride);
      });
      return kind === "mask" ? any.or(anyOf.anyTrue()).notEqual(0) : i32.const(1);
    },
    { export: false },
  );
}

/** Lane numbers 0 … 3 added to a start. */
export function laneNumbers(f: FunctionBuilder, start: I32): V128 {
  return i32x4.add(i32x4.splat(start), f.constant(i32x4.const(0, 1, 2, 3)));
}

/** All lanes −∞. */
export function minusInfinity(f: FunctionBuilder): V128 {
  return f.constant(f32x4.splat(-Infinity));
}
