/** sin and cos in float32 lanes. */

import {
  choose,
  f32,
  f32x4,
  f64,
  f64x2,
  type F64,
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  i32x4,
  i64,
  type ModuleBuilder,
  v128,
  type V128,
} from "../assembler/index.js";
import { callHelper, float, integer, type MathContext, polynomial } from "./context.js";

// π/2 in two float64 parts; the first has 25 bits, so that products with integers below 2^28 are
// exact and nothing is lost near multiples of π/2.
const halfPiHigh = 26353589 / 2 ** 24;
const halfPiLow = 1.5893254773528196e-8;

// Adding 1.5 · 2^52 rounds a float64 to an integer, which is then found in the low word.
const rounder = 6755399441055744;

// From here on the quotient by π/2 has more than 28 bits.
const huge = 2 ** 28;

// sin(r) = r (1 + r² (…)), cos(r) = 1 - r²/2 + r⁴ (…) for |r| ≤ π/4, relative errors 4e-9, 1e-10.
const sinCoefficients = [-0.16666655242443085, 0.008332188241183758, -0.0001951809535967186];
const cosCoefficients = [0.04166664555668831, -0.0013887309469282627, 2.4432327336398885e-5];

// The low word of `quotient` is the nearest multiple n of π/2, `rest` what is left.
function reduceHalf(c: MathContext, x: V128): { quotient: V128; rest: V128 } {
  const { f } = c;
  const constant = (value: number): V128 => f.constant(f64x2.splat(value));
  const wide = f.let(x);
  const quotient = f.let(f64x2.add(f64x2.multiply(wide, constant(2 / Math.PI)), constant(rounder)));
  const n = f.let(f64x2.subtract(quotient, constant(rounder)));
  const high = f64x2.subtract(wide, f64x2.multiply(n, constant(halfPiHigh)));
  return { quotient, rest: f64x2.subtract(high, f64x2.multiply(n, constant(halfPiLow))) };
}

// The sine of x + phase · π/2.
function sine(c: MathContext, operand: V128, phase: 0 | 1): V128 {
  const { f, module } = c;
  const x = f.keep(operand);
  const low = reduceHalf(c, f64x2.promoteLowF32x4(x));
  const high = reduceHalf(c, f64x2.promoteLowF32x4(i32x4.shuffle(x, x, [2, 3, 2, 3])));
  const quotient = i32x4.shuffle(low.quotient, high.quotient, [0, 2, 4, 6]);
  const quadrant = f.let(phase === 0 ? quotient : i32x4.add(quotient, integer(c, 1)));
  const r = f.let(
    i32x4.shuffle(f32x4.demoteF64x2Zero(low.rest), f32x4.demoteF64x2Zero(high.rest), [0, 1, 4, 5]),
  );
  const z = f.let(f32x4.multiply(r, r));
  const one = float(c, 1);
  const sin = f32x4.multiply(r, module.madd(z, polynomial(c, z, sinCoefficients), one));
  const cos = module.madd(
    f32x4.multiply(z, z),
    polynomial(c, z, cosCoefficients),
    module.nmadd(z, float(c, 0.5), one),
  );
  const odd = i32x4.shiftRight(i32x4.shiftLeft(quadrant, 31), 31);
  const sign = i32x4.shiftLeft(i32x4.shiftRightUnsigned(quadrant, 1), 31);
  const result = f.let(v128.bitselect(cos, sin, odd).xor(sign));
  const isHuge = f.let(f32x4.less(f32x4.abs(x), float(c, huge)).not());
  f.if(isHuge.anyTrue(), () => {
    const name = phase === 0 ? "sinHuge" : "cosHuge";
    const exact = callHelper(c, name, [x], (inner, y) => sineOfHuge(inner, y, phase));
    f.set(result, v128.bitselect(exact, result, isHuge));
  });
  return result;
}

/** The sine; absolute error below 1e-7 for every finite x. */
export function sin(c: MathContext, x: V128): V128 {
  return sine(c, x, 0);
}

/** The cosine; absolute error below 1e-7 for every finite x. */
export function cos(c: MathContext, x: V128): V128 {
  return sine(c, x, 1);
}

// 4/π = 1.45F306DC…, its bits from the highest byte on.
const fourOverPi = "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041";

// Window number k of 32 bits of 4/π, ending with byte k.
function fourOverPiWord(module: ModuleBuilder): FunctionReference<readonly [typeof i32], I32> {
  const key = "math/fourOverPi";
  const found = module.get(key);
  if (found) return found as unknown as FunctionReference<readonly [typeof i32], I32>;
  return module.function(
    key,
    { parameters: [i32], result: i32 },
    (_, k) => {
      const padded = `000000${fourOverPi}`;
      let word: I32 = i32.const(0);
      for (let at = 0; at < fourOverPi.length / 2; at++) {
        const bits = Number.parseInt(padded.slice(2 * at, 2 * at + 8), 16);
        word = choose(k.equal(at), i32.const(bits), word);
      }
      return word;
    },
    { export: false },
  );
}

// The same for large finite x, one lane after the other: the quotient by π/2 needs only those
// bits of 4/π that do not come out as multiples of 8 (Payne and Hanek, as in Arm's optimized
// routines).
function sineOfHuge(c: MathContext, x: V128, phase: 0 | 1): V128 {
  const { f, module } = c;
  const word = fourOverPiWord(module);
  const result = f.let(v128.zero());
  for (let lane = 0; lane < 4; lane++) {
    const bits = f.let(i32x4.extractLane(x, lane));
    const at = f.let(bits.shiftRightUnsigned(26).and(15));
    const mantissa = f.let(
      bits.and(0xffffff).or(0x800000).shiftLeft(bits.shiftRightUnsigned(23).and(7)),
    );
    const m = i64.extendUnsigned(mantissa);
    const top = i64.extendUnsigned(mantissa.multiply(word.call(at)));
    const middle = m.multiply(i64.extendUnsigned(word.call(at.add(4))));
    const bottom = m.multiply(i64.extendUnsigned(word.call(at.add(8))));
    const thirtyTwo = i64.const(32);
    // The product modulo 4 π/2, in units of 2^-62 · π/2.
    const product = f.let(
      bottom.shiftRightUnsigned(thirtyTwo).or(top.shiftLeft(thirtyTwo)).add(middle),
    );
    const n = f.let(product.add(i64.const(1n << 61n)).shiftRightUnsigned(i64.const(62)));
    const rest = product.subtract(n.shiftLeft(i64.const(62)));
    const r = f.let(f64.convertI64(rest).multiply(f64.const((Math.PI / 2) * 2 ** -62)));
    const value = f.let(f32.demote(scalarSine(f, r, n.wrap().add(phase))));
    // |x| was used: sin is odd, cos is even.
    const negative = bits.less(0);
    const signed = phase === 0 ? negative.select(value.negate(), value) : value;
    const finite = bits.and(0x7f800000).notEqual(0x7f800000);
    f.set(result, f32x4.replaceLane(result, lane, finite.select(signed, f32.const(NaN))));
  }
  return result;
}

// sin(r + quadrant · π/2) for |r| ≤ π/4.
function scalarSine(f: FunctionBuilder, r: F64, quadrantOnce: I32): F64 {
  const quadrant = f.let(quadrantOnce);
  const z = f.let(r.multiply(r));
  const series = (coefficients: readonly number[]): F64 =>
    coefficients
      .map((coefficient) => f64.const(coefficient))
      .reduceRight((sum, coefficient) => sum.multiply(z).add(coefficient));
  const sin = r.multiply(series([1, ...sinCoefficients]));
  const cos = series([1, -0.5, ...cosCoefficients]);
  const value = f.let(choose(quadrant.and(1), cos, sin));
  return quadrant.and(2).select(value.negate(), value);
}
