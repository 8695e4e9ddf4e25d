/** e^x for softmax: for numbers up to about 0, with fewer steps than the general function takes. */

import { f32x4, i32x4, type V128 } from "../../assembler/index.js";
import { float, type MathContext, polynomial } from "../../math/index.js";

const ln2High = 0.693359375;
const ln2Low = -2.121944400546905e-4;

// Adding 1.5 · 2^23 rounds a float to an integer, found in the low bits; 127 biases the exponent.
const rounder = 12582912 + 127;

// exp(r) for |r| ≤ ln 2 / 2, relative error 3e-8 after rounding.
const coefficients = [
  1, 1, 0.5000000596046448, 0.16666364669799805, 0.04166477173566818, 0.008379058912396431,
  0.0014061422552913427,
];

// What is below is taken for this, for which the exponent comes out as 0 and so does the result.
const smallest = -88;

/** e^x for x ≤ 0 (up to 88 in fact), at most 2 ulp off; exactly 0 for x ≤ -88. NaN stays. */
export function expOfNegative(c: MathContext, operand: V128): V128 {
  const { f, module } = c;
  const x = f.let(f32x4.pseudoMaximum(operand, float(c, smallest)));
  const magic = float(c, rounder);
  const bits = f.let(module.madd(x, float(c, Math.LOG2E), magic));
  const n = f.let(f32x4.subtract(bits, magic));
  const high = module.nmadd(n, float(c, ln2High), x);
  const r = f.let(module.nmadd(n, float(c, ln2Low), high));
  return f32x4.multiply(polynomial(c, r, coefficients), i32x4.shiftLeft(bits, 23));
}
