/** The inverse of the error function. */

import type { Value } from "../graph/node.js";
import { add, less, log, multiply, negate, sqrt, subtract, where } from "./elementwise.js";
import { constant } from "./leaf.js";

// M. Giles, "Approximating the erfinv function", 2010: polynomials in w = −log(1 − x²), the highest
// power first; to about single precision.
const central = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 2.1858087e-4, -1.25372503e-3,
  -4.17768164e-3, 0.246640727, 1.50140941,
];
const tail = [
  -2.00214257e-4, 1.00950558e-4, 1.34934322e-3, -3.67342844e-3, 5.73950773e-3, -7.6224613e-3,
  9.43887047e-3, 1.00167406, 2.83297682,
];
const centralLimit = 5;

function polynomial(coefficients: readonly number[], w: Value): Value {
  return coefficients
    .map((coefficient) => constant(coefficient))
    .reduce((sum, coefficient) => add(multiply(sum, w), coefficient));
}

/** erf⁻¹ x for x in (−1, 1). */
export function inverseErrorFunction(x: Value): Value {
  const one = constant(1);
  const w = negate(log(multiply(subtract(one, x), add(one, x))));
  const isCentral = less(w, centralLimit);
  const inner = polynomial(central, subtract(w, 2.5));
  const outer = polynomial(tail, subtract(sqrt(w), 3));
  return multiply(where(isCentral, inner, outer), x);
}
