/** sin and cos in float32 lanes. */

import {
  choose,
  f32,
  f32x4,
  f64,
  f64x2,
  i32,
  type I32,
  i32x4,
  i64,
  v128,
  type V128,
} from "../assembler/index.js";
import {
  byHalves,
  callHelper,
  double,
  float,
  helper,
  integer,
  type MathContext,
  polynomial,
} from "./context.js";

// π/2 in two float64 parts; the first has 25 bits, so that products with integers below 2^28 are
// exact and nothing is lost near multiples of π/2.
const halfPiHigh = 26353589 / 2 ** 24;
const halfPiLow = 1.5893254773528196e-8;

// Adding 1.5 · 2^52 rounds a float64 to an integer, which is then found in the low word.
const rounder = 6755399441055744;

// From here on the quotient by π/2 has more than 28 bits.
const huge = 2 ** 28;

// sin(r) = r (1 + r² (…)), cos(r) = 1 - r²/2 + r⁴ (…) for |r| ≤ π/4, relative errors 4e-9, 1e-10.
const sinCoefficients = [-0.16666655, 0.008332188, -0.00019518095];
const cosCoefficients = [0.041666646, -0.001388731, 2.4432327e-5];

// The sine of x + phase · π/2.
function sine(c: MathContext, operand: V128, phase: 0 | 1): V128 {
  const { f, module } = c;
  const { multiply } = f32x4;
  const x = f.keep(operand);
  // The low word of the quotient is the nearest multiple of π/2, r what is left.
  const [quotient, rest] = byHalves(c, [x], (half) => {
    const wide = f.let(f64x2.promoteLowF32x4(half));
    const scaled = f64x2.multiply(wide, double(c, 2 / Math.PI));
    const rounded = f.let(f64x2.add(scaled, double(c, rounder)));
    const n = f.let(f64x2.subtract(rounded, double(c, rounder)));
    const high = f64x2.subtract(wide, f64x2.multiply(n, double(c, halfPiHigh)));
    const low = f64x2.subtract(high, f64x2.multiply(n, double(c, halfPiLow)));
    return [i32x4.shuffle(rounded, rounded, [0, 2, 0, 2]), f32x4.demoteF64x2Zero(low)];
  });
  const [quadrant, r] = [f.let(quotient!), f.let(rest!)];
  const isHuge = f.let(f32x4.less(f32x4.abs(x), float(c, huge)).not());
  f.if(isHuge.anyTrue(), () => {
    for (const [target, part] of [
      [quadrant, "quadrant"],
      [r, "rest"],
    ] as const) {
      const exact = callHelper(c, part, [x], (inner, y) => reduceHuge(inner, y, part));
      f.set(target, v128.bitselect(exact, target, isHuge));
    }
  });
  if (phase === 1) f.set(quadrant, i32x4.add(quadrant, integer(c, 1)));
  const z = f.let(multiply(r, r));
  const one = float(c, 1);
  const sin = multiply(r, module.madd(z, polynomial(c, z, sinCoefficients), one));
  const cos = module.madd(
    multiply(z, z),
    polynomial(c, z, cosCoefficients),
    module.nmadd(z, float(c, 0.5), one),
  );
  const odd = i32x4.shiftRight(i32x4.shiftLeft(quadrant, 31), 31);
  const sign = i32x4.shiftLeft(i32x4.shiftRightUnsigned(quadrant, 1), 31);
  return v128.bitselect(cos, sin, odd).xor(sign);
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
const fourOverPi = "000000a2f9836e4e441529fc2757d1f534ddc0db6295993c439041";

// The nearest multiple of π/2 or the rest of large x, one lane after the other: the quotient needs
// only those bits of 4/π that do not come out as multiples of 8 (Payne and Hanek, as in Arm's
// optimized routines).
function reduceHuge({ f, module }: MathContext, x: V128, part: "quadrant" | "rest"): V128 {
  // Window number k of 32 bits of 4/π, ending with byte k.
  const window = helper(module, "fourOverPi", { parameters: [i32], result: i32 }, (_, k) => {
    let word: I32 = i32.const(0);
    for (let at = 0; 2 * at + 8 <= fourOverPi.length; at++) {
      const bits = Number.parseInt(fourOverPi.slice(2 * at, 2 * at + 8), 16);
      word = choose(k.equal(at), i32.const(bits), word);
    }
    return word;
  });
  const result = f.let(v128.zero());
  for (let lane = 0; lane < 4; lane++) {
    const bits = f.let(i32x4.extractLane(x, lane));
    const at = f.let(bits.shiftRightUnsigned(26).and(15));
    const shift = bits.shiftRightUnsigned(23).and(7);
    const mantissa = f.let(bits.and(0xffffff).or(0x800000).shiftLeft(shift));
    const [low, middle] = [8, 4].map((distance) =>
      i64.extendUnsigned(mantissa).multiply(i64.extendUnsigned(window.call(at.add(distance)))),
    );
    const high = i64.extendUnsigned(mantissa.multiply(window.call(at)));
    const half = i64.const(32);
    // The product modulo 4 π/2, in units of 2^-62 · π/2.
    const product = f.let(low!.shiftRightUnsigned(half).or(high.shiftLeft(half)).add(middle!));
    const n = f.let(product.add(i64.const(2 ** 61)).shiftRightUnsigned(i64.const(62)));
    const negative = bits.less(0);
    if (part === "quadrant") {
      const quadrant = n.wrap();
      const turned = negative.select(i32.const(0).subtract(quadrant), quadrant);
      f.set(result, i32x4.replaceLane(result, lane, turned));
    } else {
      const rest = f64.convertI64(product.subtract(n.shiftLeft(i64.const(62))));
      const angle = f.let(f32.demote(rest.multiply(f64.const((Math.PI / 2) * 2 ** -62))));
      const turned = negative.select(angle.negate(), angle);
      f.set(result, f32x4.replaceLane(result, lane, turned));
    }
  }
  // Infinity and NaN times 0 are NaN.
  return part === "rest" ? f32x4.add(result, f32x4.multiply(x, v128.zero())) : result;
}
