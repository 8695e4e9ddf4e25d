/** What updates of a part of a tensor start from: a copy of the whole. */

import type { Value } from "../../../graph/node.js";
import type { NativeStep } from "../../../plan/schedule.js";
import { bytesPerElement } from "../../../tensor/dtype.js";
import { sizeOf } from "../../../tensor/shape.js";
import type { Launch } from "../../launch.js";
import { copyAll } from "./walk.js";
import { fillWithZeros } from "./fill.js";

/** Whether a value is a constant 0 spread over a shape, as the base of a gradient is. */
function isZero(value: Value): boolean {
  let { node } = value;
  while (node.op.kind === "movement") ({ node } = node.inputs[0]!);
  return node.op.name === "constant" && node.attributes.value === 0;
}

/** Makes the first output a copy of the first input, unless they are the same memory. */
export function copyBase({ node, inputs, outputs }: NativeStep): readonly Launch[] {
  const [base] = inputs;
  const name = `${node.op.name} copy`;
  if (isZero(node.inputs[0]!)) {
    const bytes = sizeOf(base!.shape) * bytesPerElement(base!.dtype);
    return fillWithZeros(name, outputs[0]!, bytes);
  }
  return copyAll(name, base!, outputs[0]!);
}
