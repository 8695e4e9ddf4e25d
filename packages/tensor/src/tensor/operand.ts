/** Operands: what arithmetic takes on its other side. */

import { XError } from "../error.js";
import type { Value } from "../graph/node.js";
import { scalar } from "../ops/leaf.js";
import { TensorCore } from "./core.js";
import { isFloat, type DType } from "./dtype.js";
import type { Tensor } from "./tensor.js";

/** What arithmetic takes on its other side: a tensor, or a number that fits any tensor. */
export type Operand = Tensor | number;

/**
 * The graph value of an operand that meets a tensor of type `dtype`.
 *
 * A number becomes a runtime scalar, so that a different number needs no new plan. It takes the
 * type of the tensor it meets; with an integer tensor, a number that is not whole becomes float32.
 *
 * @internal
 */
export function operandValue(op: string, dtype: DType, operand: Operand): Value {
  if (operand instanceof TensorCore) return operand.value;
  if (typeof operand !== "number") {
    throw new XError(
      "argument",
      `${op}: the operand must be a tensor or a number, got ${describe(operand)}. Wrap arrays with tensor().`,
    );
  }
  return scalar(operand, numberType(operand, dtype));
}

function numberType(number: number, dtype: DType): DType {
  if (isFloat(dtype) || !Number.isInteger(number)) return "float32";
  if (dtype === "uint32" && number >= 0 && number <= 0xffffffff) return "uint32";
  return number >= -0x80000000 && number <= 0x7fffffff ? "int32" : "float32";
}

function describe(operand: unknown): string {
  if (Array.isArray(operand)) return "an array";
  return operand === null ? "null" : typeof operand;
}
