/** A window whose position is known only at run time. */

import type { Operand } from "../../../plan/schedule.js";
import { stridesOf } from "../../../tensor/shape.js";
import type { NativeKernel } from "../../native.js";
import { isCopyable, walkLaunch } from "./walk.js";

/** The kernel of `dynamicSlice`. */
export const dynamicSliceKernel: NativeKernel = {
  op: "dynamicSlice",
  acceptsView: (_node, input, view) => input === 1 || isCopyable(view),
  lower: ({ node, inputs, outputs: [buffer] }) => {
    const axis = node.attributes.axis as number;
    const [x, operand] = inputs as [Operand, Operand];
    const { shape } = node.outputs[0]!;
    return walkLaunch(
      "dynamicSlice",
      { ...x, shape },
      { buffer: buffer!, strides: stridesOf(shape) },
      {
        operand,
        moves: "source",
        stride: x.strides[axis]!,
        last: x.shape[axis]! - shape[axis]!,
      },
    );
  },
};
