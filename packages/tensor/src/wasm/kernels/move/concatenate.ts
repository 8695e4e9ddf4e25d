/** Joining tensors along an axis: one window copy for each. */

import { stridesOf } from "../../../tensor/shape.js";
import type { NativeKernel } from "../../native.js";
import { copyWindow, isCopyable } from "./copy.js";

/** The kernel of `concatenate`. */
export const concatenateKernel: NativeKernel = {
  op: "concatenate",
  acceptsView: (_node, _input, view) => isCopyable(view),
  lower: ({ node, inputs, outputs: [target] }) => {
    const axis = node.attributes.axis as number;
    const targetStrides = stridesOf(node.outputs[0]!.shape);
    let start = 0;
    return inputs.flatMap((source) => {
      const targetOffset = start * targetStrides[axis]!;
      start += source.shape[axis]!;
      return copyWindow({
        name: "concatenate",
        source,
        target: target!,
        targetOffset,
        targetStrides,
      });
    });
  },
};
