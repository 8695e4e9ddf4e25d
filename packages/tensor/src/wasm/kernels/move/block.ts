/** Moving one contiguous block, the innermost step of everything that only moves data. */

import type { DType } from "../../../tensor/dtype.js";
import {
  f32x4,
  type FunctionBuilder,
  i32,
  type I32,
  i32x4,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { MathContext } from "../../math/index.js";
import { type Routine, routine } from "../code.js";

/** How an element joins the element at its place. */
export type Combine = "replace" | "addFloat" | "addInteger" | "or";

/** Adding elements of a type; the sum of bools is whether any is true. */
export function addOf(dtype: DType): Combine {
  if (dtype === "bool") return "or";
  return dtype === "float32" ? "addFloat" : "addInteger";
}

// From here on the engine's own copy is faster than a loop of vectors; below, calling it costs more
// than the copy.
const bulk = 1024;

// A function (to, from, bytes).
function copyFunction(module: ModuleBuilder): Routine {
  return routine(module, "move/block", (f, to, from, bytes) => {
    f.if(bytes.greaterEqualUnsigned(bulk), () => {
      f.memoryCopy(to, from, bytes);
      f.return(bytes);
    });
    f.if(bytes.greaterEqual(16), () => {
      // The last vector ends with the block and may overlap the one before.
      f.while(bytes.greater(16), () => {
        f.storeV128(to, v128.load(from));
        f.increment(to, 16);
        f.increment(from, 16);
        f.increment(bytes, -16);
      });
      f.increment(bytes, -16);
      f.storeV128(to.add(bytes), v128.load(from.add(bytes)));
      f.return(bytes);
    });
    for (const size of [8, 4, 2, 1]) {
      f.if(bytes.and(size), () => {
        combinePart(f, "replace", size, to, from);
        f.increment(to, size);
        f.increment(from, size);
      });
    }
  });
}

function load(address: I32, size: number, offset: number): V128 {
  if (size === 16) return v128.load(address, offset);
  if (size === 8) return v128.load64Zero(address, offset);
  if (size === 4) return v128.load32Zero(address, offset);
  const word = size === 2 ? i32.load16Unsigned : i32.load8Unsigned;
  return i32x4.splat(word(address, offset));
}

/** Joins the `size` bytes (a power of two up to 16) at `offset` from `from` to those from `to`. */
function combinePart(
  f: FunctionBuilder,
  combine: Combine,
  size: number,
  to: I32,
  from: I32,
  offset = 0,
): void {
  const [a, b] = [load(to, size, offset), load(from, size, offset)];
  const value = {
    replace: () => b,
    addFloat: () => f32x4.add(a, b),
    addInteger: () => i32x4.add(a, b),
    or: () => a.or(b),
  }[combine]();
  if (size === 16) f.storeV128(to, value, offset);
  else f.storeLane((8 * size) as 8 | 16 | 32 | 64, to, value, 0, offset);
}

/**
 * Joins the block of `bytes` bytes at `from` to the one at `to`, where they do not overlap. An element
 * is a block whose size is known when code is made; that of others is given as 0.
 */
export function combineBlock(
  { module, f }: MathContext,
  combine: Combine,
  elementBytes: number,
  to: I32,
  from: I32,
  bytes: I32,
): void {
  if (elementBytes > 0) combinePart(f, combine, elementBytes, f.keep(to), f.keep(from));
  else if (combine === "replace") f.call(copyFunction(module), to, from, bytes);
  else {
    const [toAt, fromAt, left] = [f.let(to), f.let(from), f.let(bytes)];
    for (const size of [64, 16, combine === "or" ? 1 : 4]) {
      f.while(left.greaterEqual(size), () => {
        const part = Math.min(size, 16);
        for (let offset = 0; offset < size; offset += part) {
          combinePart(f, combine, part, toAt, fromAt, offset);
        }
        f.increment(toAt, size);
        f.increment(fromAt, size);
        f.increment(left, -size);
      });
    }
  }
}
