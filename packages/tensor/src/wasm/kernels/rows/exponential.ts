/** e^x for softmax: for numbers up to about 0, with fewer steps than the general function takes. */

import { f32x4, i32x4, type V128 } from "../../assembler/index.js";
import { float, type MathContext, polynomial } from "../../math/index.js";

const ln2High = 0.693359375;
const ln2Low = -2.121944400546905e-4;

// Adding 1.5 · 2^23 rounds a float to an integer, found in the low bits; 127 biases the exponent.
const rounder = 12582912 + 127;

// exp(r) = 1 + r + r² (…) for |r| ≤ ln 2 / 2, relative error 3.1e-9.
const coefficients = [
  0.4999999403953552, 0.1666652113199234, 0.04166827350854874, 0.00836868304759264,
  0.001382005400955677,
];

// Below, the result is less than the smallest normal float: taken as 0.
const smallest = -87.3;

/** e^x for x ≤ 0 (up to 88 in fact), at most 1 ulp off; exactly 0 for what is below 2^-126. NaN stays. */
export function expOfNegative(c: MathContext, operand: V128): V128 {
  const { f, module } = c;
  const x = f.keep(operand);
  const magic = float(c, rounder);
  const bits = f.let(module.madd(x, float(c, Math.LOG2E), magic));
  const n = f.let(f32x4.subtract(bits, magic));
  const high = module.nmadd(n, float(c, ln2High), x);
  const r = f.let(module.nmadd(n, float(c, ln2Low), high));
  const q = polynomial(c, r, coefficients);
  const power = f32x4.add(module.madd(q, f32x4.multiply(r, r), r), float(c, 1));
  const result = f32x4.multiply(power, i32x4.shiftLeft(bits, 23));
  return result.andNot(f32x4.less(x, float(c, smallest)));
}
