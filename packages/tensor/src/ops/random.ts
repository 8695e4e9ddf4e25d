/**
 * Random numbers as functions of a draw: word `w` of the Threefry block with the draw's key, the
 * element's position and the draw's counter. Nothing is stored, so a mask needed again in the
 * backward pass is computed again; the numbers are the same on every device.
 */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import { formatShape, sizeOf, type Shape } from "../tensor/shape.js";
import {
  add,
  cast,
  cos,
  lessEqual,
  log,
  log1p,
  maximum,
  minimum,
  multiply,
  negate,
  remainder,
  shiftRight,
  sqrt,
  subtract,
  threefry,
  where,
} from "./elementwise.js";
import type { Draw } from "./draw.js";
import { inverseErrorFunction } from "./error-function.js";
import { constant, iota, scalar } from "./leaf.js";
import { reshape } from "./movement.js";
import { argmax } from "./reduce.js";
import { sort } from "./sort.js";

/** A draw as runtime scalars (uint32): key 0, key 1, counter. */
export type DrawScalars = readonly [Value, Value, Value];

/** The runtime scalars of a draw, so that the next draw needs no new plan. */
export function drawScalars({ key0, key1, counter }: Draw): DrawScalars {
  return [scalar(key0, "uint32"), scalar(key1, "uint32"), scalar(counter, "uint32")];
}

/** Evenly distributed 32-bit words, one an element. */
function randomBits(draw: DrawScalars, shape: Shape, word: 0 | 1): Value {
  const size = sizeOf(shape);
  check(
    size <= 0x7fffffff,
    "argument",
    () =>
      `random: at most 2147483647 numbers can be drawn at once, got shape ${formatShape(shape)}. Draw in parts.`,
  );
  const position = cast(reshape(iota(size), shape), "uint32");
  const [key0, key1, counter] = draw;
  return threefry(word, [key0, key1, position, counter]);
}

/** Evenly distributed in [0, 1), multiples of 2⁻²⁴. */
export function uniform(draw: DrawScalars, shape: Shape, word: 0 | 1 = 0): Value {
  const bits = shiftRight(randomBits(draw, shape, word), 8);
  return multiply(cast(bits, "float32"), 2 ** -24);
}

/** The same for places and streams that are whole numbers, broadcast against each other. */
export function uniformAt(place: Value, stream: Value, seed: Value): Value {
  const [at, own] = [cast(place, "uint32"), cast(stream, "uint32")];
  const bits = shiftRight(threefry(0, [seed, constant(0, "uint32"), at, own]), 8);
  return multiply(cast(bits, "float32"), 2 ** -24);
}

/** Standard normal, by the transform of Box and Muller from both words. */
export function normal(draw: DrawScalars, shape: Shape): Value {
  const radius = sqrt(multiply(-2, log(subtract(1, uniform(draw, shape, 0)))));
  return multiply(radius, cos(multiply(2 * Math.PI, uniform(draw, shape, 1))));
}

/** Whether each element is kept when it is dropped with probability `p`. */
function keepMask(draw: DrawScalars, shape: Shape, p: number): Value {
  const threshold = dropThreshold(p);
  return lessEqual(threshold, randomBits(draw, shape, 0));
}

/** Words below this drop an element. */
export function dropThreshold(p: number): number {
  return Math.min(Math.floor(p * 2 ** 32), 0xffffffff);
}

/** Elements set to 0 with probability `p`, the others scaled by 1 / (1 − p). */
export function dropout(x: Value, p: number, draw: DrawScalars): Value {
  if (p === 0) return x;
  const values = cast(x, "float32");
  if (p === 1) return multiply(values, 0);
  const kept = keepMask(draw, x.shape, p);
  return where(kept, multiply(values, 1 / (1 - p)), 0);
}

/** Whole numbers from `low` to before `high`, evenly distributed (up to one part in 2³² / range). */
export function randomIntegers(draw: DrawScalars, shape: Shape, low: number, high: number): Value {
  const range = scalar(high - low, "uint32");
  const offset = cast(remainder(randomBits(draw, shape, 0), range), "int32");
  return add(offset, scalar(low, "int32"));
}

/** The numbers 0 … length − 1 in random order. */
export function permutation(draw: DrawScalars, length: number): Value {
  const keys = cast(shiftRight(randomBits(draw, [length], 0), 1), "int32");
  return sort(keys, 0, false)[1];
}

/** Exponentially distributed with mean 1. */
export function exponential(draw: DrawScalars, shape: Shape): Value {
  return negate(log1p(negate(uniform(draw, shape))));
}

/** Gumbel distributed: −log(−log u), with u in (0, 1). */
export function gumbel(draw: DrawScalars, shape: Shape): Value {
  const u = maximum(uniform(draw, shape), 2 ** -25);
  return negate(log(negate(log(u))));
}

/**
 * Standard normal conditioned on [low, high], by inverting the distribution function: `low` and
 * `high` are given with their values of erf(x / √2).
 */
export function truncatedNormal(
  draw: DrawScalars,
  shape: Shape,
  low: { readonly bound: number; readonly erf: number },
  high: { readonly bound: number; readonly erf: number },
): Value {
  const range = scalar(high.erf - low.erf);
  const u = add(scalar(low.erf), multiply(range, uniform(draw, shape)));
  const value = multiply(inverseErrorFunction(u), Math.SQRT2);
  return minimum(maximum(value, scalar(low.bound)), scalar(high.bound));
}

/** One class number a row of logits [..., C], with probability proportional to eˣ. */
export function categorical(logits: Value, draw: DrawScalars): Value {
  const noisy = add(logits, gumbel(draw, logits.shape));
  return argmax(noisy, [logits.shape.length - 1]);
}
