/** The error function in float32 lanes. */

import { f32x4, type V128 } from "../assembler/index.js";
import { float, type MathContext, polynomial } from "./context.js";

// erf(x) = x P(x²) / Q(x²) for |x| ≤ 3.925, beyond which it is ±1 to rounding. Relative error of
// the coefficients 5.4e-8, of the whole 4e-7.
const limit = 3.925;
const numerator = [1.1283791, 0.19059521, 0.052769493, 0.0037726131, 0.000284845, 2.0460172e-6];
const denominator = [1, 0.50224334, 0.11418333, 0.014983324, 0.0011638731, 3.8047747e-5];

/** The error function, relative error at most 5e-7. */
export function erf(c: MathContext, operand: V128): V128 {
  const { f } = c;
  const clamp = (x: V128, by: number): V128 =>
    f32x4.pseudoMaximum(f32x4.pseudoMinimum(x, float(c, by)), float(c, -by));
  const x = f.let(clamp(operand, limit));
  const z = f.let(f32x4.multiply(x, x));
  const quotient = f32x4.divide(
    f32x4.multiply(x, polynomial(c, z, numerator)),
    polynomial(c, z, denominator),
  );
  return clamp(quotient, 1);
}
