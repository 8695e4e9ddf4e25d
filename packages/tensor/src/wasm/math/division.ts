/** Division and remainder of integers, and the remainder of floats. */

import { f32x4, f64x2, i32x4, v128, type V128 } from "../assembler/index.js";
import { byHalves, callHelper, double, float, integer, type MathContext } from "./context.js";

type Convert = (v: V128) => V128;

// A float64 quotient of 32-bit integers truncates to the exact integer quotient: it is never
// closer to the next integer than 2^-32 of its size.
function quotient(c: MathContext, a: V128, b: V128, widen: Convert, narrow: Convert): V128 {
  const [q] = byHalves(c, [a, b], (x, y) => [narrow(f64x2.divide(widen(x), widen(y)))]);
  return q!.and(i32x4.notEqual(b, integer(c, 0)));
}

/** `a / b` of int32 truncated toward zero; 0 where b is 0; wraps for -2^31 / -1. */
export function divideInt32(c: MathContext, first: V128, second: V128): V128 {
  const [a, b] = [c.f.keep(first), c.f.keep(second)];
  const q = quotient(c, a, b, f64x2.convertLowI32x4, i32x4.truncateF64x2Zero);
  return v128.bitselect(i32x4.negate(a), q, i32x4.equal(b, integer(c, -1)));
}

/** `a / b` of uint32; 0 where b is 0. */
export function divideUint32(c: MathContext, first: V128, second: V128): V128 {
  const [a, b] = [c.f.keep(first), c.f.keep(second)];
  return quotient(c, a, b, f64x2.convertLowI32x4Unsigned, i32x4.truncateF64x2ZeroUnsigned);
}

// a - q b, and 0 where b is 0.
function rest(c: MathContext, a: V128, b: V128, q: V128): V128 {
  return i32x4.subtract(a, i32x4.multiply(q, b)).and(i32x4.notEqual(b, integer(c, 0)));
}

// The remainder with the sign of the divisor, from one with the sign of the dividend.
function withSignOf(
  c: MathContext,
  remainder: V128,
  b: V128,
  { notEqual, add }: typeof f32x4 | typeof i32x4,
): V128 {
  const r = c.f.keep(remainder);
  const zero = integer(c, 0);
  const differs = i32x4.less(r.xor(b), zero).and(notEqual(r, zero));
  return add(r, b.and(differs));
}

/** The remainder of int32 with the sign of the divisor; 0 where b is 0. */
export function remainderInt32(c: MathContext, first: V128, second: V128): V128 {
  const [a, b] = [c.f.keep(first), c.f.keep(second)];
  return withSignOf(c, rest(c, a, b, divideInt32(c, a, b)), b, i32x4);
}

/** The remainder of uint32; 0 where b is 0. */
export function remainderUint32(c: MathContext, first: V128, second: V128): V128 {
  const [a, b] = [c.f.keep(first), c.f.keep(second)];
  return rest(c, a, b, divideUint32(c, a, b));
}

/**
 * The remainder of float32 with the sign of the divisor, exact as C's `fmod` is; NaN where the
 * divisor is 0 or the dividend infinite.
 */
export function remainderFloat32(c: MathContext, first: V128, second: V128): V128 {
  const { f } = c;
  const [a, b] = [f.keep(first), f.keep(second)];
  // Quotients of at most 24 bits: the exact rest is found in float64 at once.
  const [short] = byHalves(c, [a, b], (x, y) => {
    const [wideX, wideY] = [f.let(f64x2.promoteLowF32x4(x)), f.let(f64x2.promoteLowF32x4(y))];
    const n = f64x2.floor(f64x2.divide(wideX, wideY));
    return [f32x4.demoteF64x2Zero(f64x2.subtract(wideX, f64x2.multiply(n, wideY)))];
  });
  const result = f.let(short!);
  const ratio = f32x4.abs(f32x4.divide(a, b));
  const finite = f32x4.less(f32x4.abs(b), float(c, Infinity));
  const simple = f.let(f32x4.less(ratio, float(c, 2 ** 24)).and(finite));
  f.if(i32x4.allTrue(simple).isZero(), () => {
    f.set(result, callHelper(c, "remainder", [a, b], remainderOfAnything));
  });
  // A rest of 0 has the sign of the dividend.
  const zero = f32x4.equal(result, float(c, 0));
  return result.or(a.and(integer(c, -0x80000000)).and(zero));
}

function remainderOfAnything(c: MathContext, a: V128, b: V128): V128 {
  const { f } = c;
  const { subtract, multiply, divide, floor } = f64x2;
  const [magnitude] = byHalves(c, [f32x4.abs(a), f32x4.abs(b)], (x, y) => {
    const left = f.let(f64x2.promoteLowF32x4(x));
    const divisor = f.let(f64x2.promoteLowF32x4(y));
    const ratio = f.let(divide(left, divisor));
    const isLong = f64x2.greaterEqual(ratio, double(c, 2 ** 24));
    // Multiples of scaled divisors are taken off until the quotient is short.
    f.while(isLong.anyTrue(), () => {
      // The power of two at or below the quotient, less 24 bits.
      const exponent = ratio.and(f.constant(i32x4.const(0, 0x7ff00000, 0, 0x7ff00000)));
      const scale = i32x4.subtract(exponent, f.constant(i32x4.const(0, 24 << 20, 0, 24 << 20)));
      const step = f.let(multiply(divisor, scale));
      const shorter = subtract(left, multiply(floor(divide(left, step)), step));
      f.set(left, v128.bitselect(shorter, left, isLong));
      f.set(ratio, divide(left, divisor));
    });
    // An infinite divisor leaves the dividend: ∞ · 0 would be NaN.
    const short = subtract(left, multiply(floor(ratio), divisor));
    const isLess = f64x2.less(ratio, double(c, 1));
    return [f32x4.demoteF64x2Zero(v128.bitselect(left, short, isLess))];
  });
  return withSignOf(c, magnitude!.or(a.and(integer(c, -0x80000000))), b, f32x4);
}
