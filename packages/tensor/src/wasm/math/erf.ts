/** The error function in float32 lanes. */

import { f32x4, type V128 } from "../assembler/index.js";
import { float, type MathContext, polynomial } from "./context.js";

// erf(x) = x P(x²) / Q(x²) for |x| ≤ 3.925, beyond which it is ±1 to rounding. Relative error of
// the coefficients 5.4e-8, of the whole 4e-7.
const limit = 3.925;
const numerator = [
  1.1283791065216064, 0.19059520959854126, 0.0527694933116436, 0.003772613126784563,
  0.0002848450094461441, 2.0460172436287394e-6,
];
const denominator = [
  1, 0.5022433400154114, 0.11418332904577255, 0.014983324334025383, 0.0011638731230050325,
  3.8047746784286574e-5,
];

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
