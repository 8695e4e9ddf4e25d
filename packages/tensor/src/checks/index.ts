/**
 * Checks of what users pass, with the sentences of their errors: for packages that build on tensors.
 *
 * @module
 */

export { check } from "../error.js";
export { checkHeads, checkKeyMask } from "../tensor/attention-checks.js";
export { checkLastAxis } from "../nn/checks.js";
export { checkPositions } from "../nn/positions.js";
export {
  checkChoice,
  checkNumbers,
  count,
  even,
  finite,
  multipleOf,
  nonNegative,
  positive,
  probability,
  type Rule,
  whole,
  wholeFrom,
} from "../tensor/arguments.js";
export { formatShape, formatShapes, sameShape } from "../tensor/shape.js";
