/** x^y in float32 lanes. */

import { f32x4, f64x2, i32x4, v128, type V128 } from "../assembler/index.js";
import {
  byHalves,
  callHelper,
  double,
  float,
  integer,
  type MathContext,
  polynomial,
} from "./context.js";

// log2(m) = s P(s²) with s = (m - 1) / (m + 1), m in sqrt(1/2) … sqrt(2); relative error 3e-14.
const log2Coefficients = [
  2.885390081777848, 0.9617966941175542, 0.577077940985341, 0.4122094058466899, 0.3198988788311698,
  0.2830044311712459,
];

// 2^r = 1 + r (…) for |r| ≤ 1/2; relative error 3e-9.
const exp2Coefficients = [
  0.6931472, 0.24022648, 0.055503596, 0.009618502, 0.0013390993, 0.0001532815,
];

// The high word of sqrt(1/2) as a float64.
const mantissaStart = 0x3fe6a09e;

// y log2(x) of two positive float64, limited to where 2^… is between 0 and infinity.
function scaledLog2(c: MathContext, x: V128, y: V128): V128 {
  const { f } = c;
  const bits = f.let(x);
  // The exponent stands in the high words; the low words are cleared.
  const highWords = f.constant(i32x4.const(0, -1, 0, -1));
  const start = f.constant(i32x4.const(0, mantissaStart, 0, mantissaStart));
  const exponent = f.let(i32x4.shiftRight(i32x4.subtract(bits, start), 20).and(highWords));
  const m = f.let(i32x4.subtract(bits, i32x4.shiftLeft(exponent, 20)));
  const k = f64x2.convertLowI32x4(i32x4.shuffle(exponent, exponent, [1, 3, 1, 3]));
  const s = f.let(f64x2.divide(f64x2.subtract(m, double(c, 1)), f64x2.add(m, double(c, 1))));
  const z = f.let(f64x2.multiply(s, s));
  const series = log2Coefficients
    .map((coefficient) => double(c, coefficient))
    .reduceRight((sum, coefficient) => c.module.maddF64(sum, z, coefficient));
  const log2 = c.module.maddF64(s, series, k);
  const scaled = f64x2.multiply(y, log2);
  return f64x2.pseudoMaximum(f64x2.pseudoMinimum(scaled, double(c, 130)), double(c, -160));
}

// x^y for positive finite x.
function powerOfPositive(c: MathContext, x: V128, exponent: V128): V128 {
  const { f } = c;
  // 1 to any power is 1, also to ∞ and NaN: there the exponent is taken to be 0.
  const y = f.let(exponent.andNot(f32x4.equal(x, float(c, 1))));
  const [whole, rest] = byHalves(c, [x, y], (base, power) => {
    const t = f.let(scaledLog2(c, f64x2.promoteLowF32x4(base), f64x2.promoteLowF32x4(power)));
    const nearest = f.let(f64x2.nearest(t));
    return [i32x4.truncateF64x2Zero(nearest), f32x4.demoteF64x2Zero(f64x2.subtract(t, nearest))];
  });
  const n = f.let(i32x4.add(whole!, integer(c, 254)));
  const r = f.let(rest!);
  const p = c.module.madd(r, polynomial(c, r, exp2Coefficients), float(c, 1));
  // Two factors, because 2^n may lie outside the range of a float itself.
  const half = f.let(i32x4.shiftRight(n, 1));
  const scaled = f32x4.multiply(p, i32x4.shiftLeft(half, 23));
  return f32x4.multiply(scaled, i32x4.shiftLeft(i32x4.subtract(n, half), 23));
}

function powerOfAnything(c: MathContext, x: V128, y: V128): V128 {
  const { f } = c;
  const infinity = f32x4.splat(Infinity);
  const magnitude = f.let(f32x4.abs(x));
  const zero = f.let(f32x4.equal(magnitude, v128.zero()));
  const result = f.let(powerOfPositive(c, magnitude, y));
  // 0^y and ∞^y: 0 or ∞ by the sign of y, and NaN with y.
  const infinite = f32x4.equal(magnitude, infinity);
  const vanishes = v128.bitselect(f32x4.greater(y, v128.zero()), f32x4.less(y, v128.zero()), zero);
  const edge = v128.bitselect(v128.zero(), infinity, vanishes);
  const atEdge = zero.or(infinite).and(f32x4.equal(y, y));
  f.set(result, v128.bitselect(edge, result, atEdge));
  f.set(result, v128.bitselect(f32x4.splat(NaN), result, f32x4.notEqual(x, x)));
  // Negative bases: the sign of odd integers, NaN for what is no integer.
  const isInteger = f32x4.equal(f32x4.trunc(y), y);
  const halved = f.let(f32x4.multiply(y, f32x4.splat(0.5)));
  const isOdd = isInteger.and(f32x4.notEqual(f32x4.trunc(halved), halved));
  const sign = x.and(i32x4.splat(-0x80000000)).and(isOdd);
  f.set(result, result.or(sign));
  const undefinedLanes = f32x4
    .less(x, v128.zero())
    .and(f32x4.greater(x, f32x4.splat(-Infinity)))
    .andNot(isInteger);
  f.set(result, v128.bitselect(f32x4.splat(NaN), result, undefinedLanes));
  // x^0 is 1 even for NaN.
  return v128.bitselect(f32x4.splat(1), result, f32x4.equal(y, v128.zero()));
}

/**
 * x^y, at most 1.3 ulp off, with the rules of C's `pow`: as `Math.pow`, but 1 to any power is 1, and
 * so is -1 to an infinite power.
 */
export function power(c: MathContext, base: V128, exponent: V128): V128 {
  return callHelper(c, "power", [base, exponent], (inner, x, y) => {
    const { f } = inner;
    const unusual = i32x4.greaterEqualUnsigned(
      i32x4.subtract(x, integer(inner, 1)),
      integer(inner, 0x7f7fffff),
    );
    f.if(unusual.anyTrue(), () => {
      f.return(callHelper(inner, "powerOfAnything", [x, y], (c, x, y) => powerOfAnything(c, x, y)));
    });
    return powerOfPositive(inner, x, y);
  });
}
