/** log and log1p in float32 lanes, after the scheme of FreeBSD's msun. */

import { f32x4, i32x4, type Local, v128, type V128 } from "../assembler/index.js";
import { callHelper, float, integer, type MathContext } from "./context.js";

const ln2High = 0.6931381;
const ln2Low = 9.058001e-6;

// The bits of sqrt(1/2), where the range of the mantissa begins.
const mantissaStart = 0x3f3504f3;

// Splits positive normal x into 2^k (1 + f) with 1 + f in sqrt(1/2) … sqrt(2).
function split(c: MathContext, x: V128): { k: V128; fraction: V128 } {
  const { f } = c;
  const k = f.let(i32x4.shiftRight(i32x4.subtract(x, integer(c, mantissaStart)), 23));
  const mantissa = i32x4.subtract(x, i32x4.shiftLeft(k, 23));
  return { k, fraction: f.let(f32x4.subtract(mantissa, float(c, 1))) };
}

// log(2^k (1 + f)) + correction. With s = f / (2 + f): log(1 + f) = f - f²/2 + s (f²/2 + R(s²)).
function combine(c: MathContext, kFloat: V128, fraction: V128, correction?: V128): V128 {
  const { f, module } = c;
  const k = f.keep(kFloat);
  const s = f.let(f32x4.divide(fraction, f32x4.add(fraction, float(c, 2))));
  const z = f.let(f32x4.multiply(s, s));
  const w = f.let(f32x4.multiply(z, z));
  const odd = module.madd(w, float(c, 0.24279079), float(c, 0.40000972));
  const even = module.madd(w, float(c, 0.28498787), float(c, 0.6666666));
  const rest = module.madd(z, even, f32x4.multiply(w, odd));
  const halfSquare = f.let(f32x4.multiply(f32x4.multiply(fraction, fraction), float(c, 0.5)));
  const low = correction
    ? module.madd(k, float(c, ln2Low), correction)
    : f32x4.multiply(k, float(c, ln2Low));
  const small = module.madd(s, f32x4.add(halfSquare, rest), low);
  const sum = f32x4.add(f32x4.subtract(small, halfSquare), fraction);
  return module.madd(k, float(c, ln2High), sum);
}

// log of anything: subnormals are scaled up, and what has no logarithm is filled in.
function logOfAnything(c: MathContext, x: V128): V128 {
  const { f } = c;
  const subnormal = f.let(f32x4.less(x, f32x4.splat(2 ** -126)));
  const scaled = v128.bitselect(f32x4.multiply(x, f32x4.splat(2 ** 23)), x, subnormal);
  const { k, fraction } = split(c, f.let(scaled));
  const exponent = i32x4.subtract(k, subnormal.and(i32x4.splat(23)));
  const result = f.let(combine(c, f32x4.convertI32x4(exponent), fraction));
  const finite = f32x4.greater(x, v128.zero()).and(f32x4.less(x, f32x4.splat(Infinity)));
  // The square root of the rest is what we want: NaN below 0, infinity and NaN as they are.
  const zero = f32x4.equal(x, v128.zero());
  const special = v128.bitselect(f32x4.splat(-Infinity), f32x4.sqrt(x), zero);
  return v128.bitselect(result, special, finite);
}

/** The natural logarithm, at most 1 ulp off. */
export function log(c: MathContext, operand: V128): V128 {
  const { f } = c;
  const x = f.keep(operand);
  const result: Local<V128> = f.local(v128);
  // Zero, subnormal, negative, infinite and NaN: not what usually comes along.
  const unusual = i32x4.greaterEqualUnsigned(
    i32x4.subtract(x, integer(c, 0x00800000)),
    integer(c, 0x7f000000),
  );
  f.if(
    unusual.anyTrue(),
    () => {
      f.set(result, callHelper(c, "log", [x], logOfAnything));
    },
    () => {
      const { k, fraction } = split(c, x);
      f.set(result, combine(c, f32x4.convertI32x4(k), fraction));
    },
  );
  return result;
}

/** log(1 + x), accurate near 0. */
export function log1p(c: MathContext, operand: V128): V128 {
  const { f } = c;
  const x = f.keep(operand);
  const one = float(c, 1);
  const u = f.let(f32x4.add(x, one));
  const { k, fraction } = split(c, u);
  // What the addition lost, to first order.
  const lostBelow = f32x4.subtract(x, f32x4.subtract(u, one));
  const lostAbove = f32x4.subtract(one, f32x4.subtract(u, x));
  const lost = v128.bitselect(lostAbove, lostBelow, f32x4.greater(x, one));
  const correction = f32x4.divide(lost, u);
  const result = f.let(combine(c, f32x4.convertI32x4(k), fraction, correction));
  const finite = f.let(f32x4.greater(x, float(c, -1)).and(f32x4.less(x, float(c, Infinity))));
  f.if(i32x4.allTrue(finite).isZero(), () => {
    // -1 gives -∞, less gives NaN, +∞ and NaN stay: as for log.
    const special = v128.bitselect(
      f32x4.splat(-Infinity),
      f32x4.sqrt(u),
      f32x4.equal(u, v128.zero()),
    );
    f.set(result, v128.bitselect(result, special, finite));
  });
  // The result has the sign of x; this keeps -0.
  return result.or(x.and(integer(c, -0x80000000)));
}
