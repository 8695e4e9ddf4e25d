/** Joining tensors along an axis: one walk for each. */

import { stridesOf } from "../../../tensor/shape.js";
import type { NativeKernel } from "../../native.js";
import { isCopyable, walkLaunch } from "./walk.js";

/** The kernel of `concatenate`. */
export const concatenateKernel: NativeKernel = {
  op: "concatenate",
  acceptsView: (_node, _input, view) => isCopyable(view),
  lower: ({ node, inputs, outputs: [buffer] }) => {
    const axis = node.attributes.axis as number;
    const strides = stridesOf(node.outputs[0]!.shape);
    let start = 0;
    return inputs.flatMap((source) => {
      const offset = start * strides[axis]!;
      start += source.shape[axis]!;
      return walkLaunch("concatenate", source, { buffer: buffer!, strides, offset });
    });
  },
};
