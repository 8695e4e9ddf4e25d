/** A window replaced at a position known only at run time: how decode caches are written. */

import type { Operand } from "../../../plan/schedule.js";
import { stridesOf } from "../../../tensor/shape.js";
import type { NativeKernel } from "../../native.js";
import { copyBase } from "./base.js";
import { copyWindow, isCopyable } from "./copy.js";

/** The kernel of `dynamicUpdate`. Where the output is the input's buffer, only the window is written. */
export const dynamicUpdateKernel: NativeKernel = {
  op: "dynamicUpdate",
  acceptsView: (_node, input, view) => input === 2 || (input === 1 && isCopyable(view)),
  lower: (step) => {
    const {
      node,
      inputs,
      outputs: [target],
    } = step;
    const axis = node.attributes.axis as number;
    const [x, source, position] = inputs as [Operand, Operand, Operand];
    const targetStrides = stridesOf(x.shape);
    return [
      ...copyBase(step),
      ...copyWindow({
        name: "dynamicUpdate",
        source,
        target: target!,
        targetOffset: 0,
        targetStrides,
        start: {
          position,
          limit: x.shape[axis]! - source.shape[axis]!,
          moves: "target",
          stride: targetStrides[axis]!,
        },
      }),
    ];
  },
};
