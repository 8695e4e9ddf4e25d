/**
 * Random numbers made on the JavaScript side, for tensors that must own numbers at once. They are
 * those that the operations of `ops/random.ts` give for the same draw, to rounding.
 */

import type { Draw } from "../ops/draw.js";
import { errorFunction } from "../reference/error-function.js";
import { threefry } from "../reference/threefry.js";
import { inverseErrorFunctionOf } from "../ops/error-function.js";

/** One function of the two words of each element's block. */
function fill(
  { key0, key1, counter }: Draw,
  size: number,
  number: (word0: number, word1: number) => number,
): Float32Array {
  const result = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const [word0, word1] = threefry(key0, key1, i, counter);
    result[i] = number(word0, word1);
  }
  return result;
}

/** The top 24 bits as a number in [0, 1). */
const unit = (word: number): number => (word >>> 8) * 2 ** -24;

/** Evenly distributed in [low, high). */
export function hostUniform(draw: Draw, size: number, low: number, high: number): Float32Array {
  return fill(draw, size, (word) => low + (high - low) * unit(word));
}

/** Normally distributed. */
export function hostNormal(draw: Draw, size: number, mean: number, std: number): Float32Array {
  return fill(draw, size, (word0, word1) => {
    const radius = Math.sqrt(-2 * Math.log(1 - unit(word0)));
    return mean + std * radius * Math.cos(2 * Math.PI * unit(word1));
  });
}

/** Standard normal conditioned on [low, high], scaled and shifted. */
export function hostTruncatedNormal(
  draw: Draw,
  size: number,
  { mean, std, low, high }: { mean: number; std: number; low: number; high: number },
): Float32Array {
  const from = errorFunction(low * Math.SQRT1_2);
  const to = errorFunction(high * Math.SQRT1_2);
  return fill(draw, size, (word) => {
    const value = Math.SQRT2 * inverseErrorFunctionOf(from + (to - from) * unit(word));
    return mean + std * Math.min(Math.max(value, low), high);
  });
}
