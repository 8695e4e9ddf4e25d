/**
 * Helpers for tests of code that uses `@x/tensor`: comparing within tolerances, checking gradients
 * against central differences, reading exact results of the reference device, asking what calls refuse.
 *
 * @module
 */

export { compareElements, expectClose, largestError, ToleranceError } from "./compare.js";
export type { Comparison, Numbers, Tolerance } from "./compare.js";
export { codeOf, failureOf } from "./failures.js";
export { checkGradients } from "./gradients.js";
export type { Differentiable, GradientCheckOptions, GradientReport } from "./gradients.js";
export { randomNumbers } from "./random-numbers.js";
export { referenceData, referenceTensor } from "./reference-data.js";
