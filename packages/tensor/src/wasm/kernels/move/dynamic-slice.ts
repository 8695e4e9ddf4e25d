/** A window whose position is known only at run time. */

import type { Operand } from "../../../plan/schedule.js";
import { stridesOf } from "../../../tensor/shape.js";
import type { NativeKernel } from "../../native.js";
import { copyWindow, isCopyable } from "./copy.js";

/** The kernel of `dynamicSlice`. */
export const dynamicSliceKernel: NativeKernel = {
  op: "dynamicSlice",
  acceptsView: (_node, input, view) => input === 1 || isCopyable(view),
  lower: ({ node, inputs, outputs: [target] }) => {
    const axis = node.attributes.axis as number;
    const length = node.attributes.length as number;
    const [x, position] = inputs as [Operand, Operand];
    const { shape } = node.outputs[0]!;
    return copyWindow({
      name: "dynamicSlice",
      source: { ...x, shape },
      target: target!,
      targetOffset: 0,
      targetStrides: stridesOf(shape),
      start: {
        position,
        limit: x.shape[axis]! - length,
        moves: "source",
        stride: x.strides[axis]!,
      },
    });
  },
};
