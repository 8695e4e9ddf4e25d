/** A window replaced at a position known only at run time: how decode caches are written. */

import type { Operand } from "../../../plan/schedule.js";
import { bytesPerElement } from "../../../tensor/dtype.js";
import { sizeOf, stridesOf } from "../../../tensor/shape.js";
import type { Launch } from "../../launch.js";
import type { NativeKernel } from "../../native.js";
import { copyBase } from "./base.js";
import { copyAll, copyWindow, isCopyable } from "./copy.js";

/** The kernel of `dynamicUpdate`. Where the output is the input's buffer, only the window is written. */
export const dynamicUpdateKernel: NativeKernel = {
  op: "dynamicUpdate",
  acceptsView: (_node, input, view) => input === 2 || (input === 1 && isCopyable(view)),
  lower: (step, context) => {
    const {
      node,
      inputs: [x],
      outputs: [target],
    } = step;
    const axis = node.attributes.axis as number;
    const targetStrides = stridesOf(x!.shape);
    const copies: Launch[] = [];
    // What is read may be a view of what is written: then it is read first.
    const [source, position] = step.inputs.slice(1).map((operand) => {
      if (operand.buffer !== target) return operand;
      const buffer = context.workspace(sizeOf(operand.shape) * bytesPerElement(operand.dtype));
      copies.push(...copyAll("dynamicUpdate source", operand, buffer));
      return { ...operand, buffer, offset: 0, strides: stridesOf(operand.shape) };
    }) as [Operand, Operand];
    return [
      ...copies,
      ...copyBase(step),
      ...copyWindow({
        name: "dynamicUpdate",
        source,
        target: target!,
        targetOffset: 0,
        targetStrides,
        start: {
          position,
          limit: x!.shape[axis]! - source.shape[axis]!,
          moves: "target",
          stride: targetStrides[axis]!,
        },
      }),
    ];
  },
};
