/** exp, expm1, sigmoid and tanh in float32 lanes. */

import { f32x4, i32x4, v128, type V128 } from "../assembler/index.js";
import { float, integer, type MathContext, polynomial } from "./context.js";

// ln 2 in two parts; the first has 9 bits, so that its product with an exponent is exact.
const ln2High = 0.693359375;
const ln2Low = -2.1219444e-4;

// Adding 1.5 · 2^23 rounds a float to an integer, which is then found in the low bits.
const rounder = 12582912;

// exp(r) = 1 + r + r² (…) for |r| ≤ ln 2 / 2, relative error 3.1e-9.
const expCoefficients = [0.49999994, 0.16666521, 0.041668274, 0.008368683, 0.0013820054];

// expm1(r) = r + r² (…) on the same range, relative error 1.4e-8.
const expm1Coefficients = [0.49999997, 0.16666546, 0.041667435, 0.008366272, 0.0013870692];

// exp(r) for the same, relative error 3e-8 after rounding.
const shortCoefficients = [1, 1, 0.50000006, 0.16666365, 0.04166477, 0.008379059, 0.0014061423];

// Splits x into n ln 2 + r. The low bits of `bits` hold n + bias.
function reduce(c: MathContext, x: V128, bias: number): readonly [bits: V128, r: V128] {
  const { f, module } = c;
  const magic = float(c, rounder + bias);
  const bits = f.let(module.madd(x, float(c, Math.LOG2E), magic));
  const n = f.let(f32x4.subtract(bits, magic));
  const high = module.nmadd(n, float(c, ln2High), x);
  return [bits, f.let(module.nmadd(n, float(c, ln2Low), high))];
}

// exp(r) - 1 = r + r² (…).
function grow(c: MathContext, r: V128, coefficients: readonly number[]): V128 {
  return c.module.madd(polynomial(c, r, coefficients), f32x4.multiply(r, r), r);
}

function between(c: MathContext, x: V128, low: number, high: number): V128 {
  return c.f.let(f32x4.pseudoMaximum(f32x4.pseudoMinimum(x, float(c, high)), float(c, low)));
}

/** e^x, at most 1 ulp off; subnormal results included. */
export function exp(c: MathContext, operand: V128): V128 {
  const { f } = c;
  // Beyond these limits the result is 0 or infinite; NaN passes both.
  // 2^n is applied as two factors, because it may lie outside the range of a float itself. The
  // bias of two exponents is added with the rounding constant.
  const [bits, r] = reduce(c, between(c, operand, -104, 89), 254);
  const p = f32x4.add(grow(c, r, expCoefficients), float(c, 1));
  const half = f.let(i32x4.shiftRight(bits, 1));
  const first = i32x4.shiftLeft(half, 23);
  const second = i32x4.shiftLeft(i32x4.subtract(bits, half), 23);
  return f32x4.multiply(f32x4.multiply(p, first), second);
}

/** e^x for x ≤ 0 (up to 88 in fact), at most 2 ulp off; exactly 0 for x ≤ -88. NaN stays. */
export function expOfNegative(c: MathContext, operand: V128): V128 {
  // For -88 the exponent comes out as 0, and so does the result.
  const x = c.f.let(f32x4.pseudoMaximum(operand, float(c, -88)));
  const [bits, r] = reduce(c, x, 127);
  return f32x4.multiply(polynomial(c, r, shortCoefficients), i32x4.shiftLeft(bits, 23));
}

/** e^x - 1, accurate near 0 too. */
export function expm1(c: MathContext, operand: V128): V128 {
  const { f, module } = c;
  const original = f.keep(operand);
  // With h = 2^(n-1), which fits a float up to the largest n: 2 (h expm1(r) + (h - 1/2)).
  const [bits, r] = reduce(c, between(c, original, -18, 89), 126);
  const h = f.let(i32x4.shiftLeft(bits, 23));
  const grown = grow(c, r, expm1Coefficients);
  const half = f.let(module.madd(h, grown, f32x4.subtract(h, float(c, 0.5))));
  // Tiny arguments, and the sign of zero, survive as they are.
  const tiny = f32x4.less(f32x4.abs(original), float(c, 2 ** -25));
  return v128.bitselect(original, f32x4.add(half, half), tiny);
}

/** 1 / (1 + e^-x), without overflow and with full accuracy in the lower tail. */
export function sigmoid(c: MathContext, operand: V128): V128 {
  const { f } = c;
  const x = f.keep(operand);
  const signBit = integer(c, -0x80000000);
  const e = f.let(exp(c, x.or(signBit)));
  const one = float(c, 1);
  const above = v128.bitselect(e, one, i32x4.shiftRight(x, 31));
  return f32x4.divide(above, f32x4.add(e, one));
}

/** The hyperbolic tangent. */
export function tanh(c: MathContext, operand: V128): V128 {
  const { f, module } = c;
  const x = f.keep(operand);
  const signBit = integer(c, -0x80000000);
  // With y = -2 |x|: tanh |x| = -expm1(y) / (expm1(y) + 2). Beyond 10 it is 1.
  const limited = f32x4.pseudoMinimum(f32x4.abs(x), float(c, 10));
  const [bits, r] = reduce(c, f.let(f32x4.multiply(limited, float(c, -2))), 127);
  const s = f.let(i32x4.shiftLeft(bits, 23));
  const grown = grow(c, r, expm1Coefficients);
  const e = f.let(module.madd(s, grown, f32x4.subtract(s, float(c, 1))));
  // e ≤ 0, so the quotient's sign bit is set and stands for |x|'s: turn it for positive x.
  const quotient = f32x4.divide(e, f32x4.add(e, float(c, 2)));
  return v128.bitselect(x, quotient, signBit);
}
