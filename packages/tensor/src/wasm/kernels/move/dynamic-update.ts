/** A window replaced at a position known only at run time: how decode caches are written. */

import type { Operand } from "../../../plan/schedule.js";
import { bytesPerElement } from "../../../tensor/dtype.js";
import { sizeOf, stridesOf } from "../../../tensor/shape.js";
import type { Launch } from "../../launch.js";
import type { NativeKernel } from "../../native.js";
import { copyBase } from "./base.js";
import { copyAll, isCopyable, walkLaunch } from "./walk.js";

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
    const strides = stridesOf(x!.shape);
    const copies: Launch[] = [];
    // What is read may be a view of what is written: then it is read first.
    const [source, operand] = step.inputs.slice(1).map((own) => {
      if (own.buffer !== target) return own;
      const buffer = context.workspace(sizeOf(own.shape) * bytesPerElement(own.dtype));
      copies.push(...copyAll("dynamicUpdate source", own, buffer));
      return { ...own, buffer, offset: 0, strides: stridesOf(own.shape) };
    }) as [Operand, Operand];
    return [
      ...copies,
      ...copyBase(step),
      ...walkLaunch(
        "dynamicUpdate",
        source,
        { buffer: target!, strides },
        {
          operand,
          moves: "target",
          stride: strides[axis]!,
          last: x!.shape[axis]! - source.shape[axis]!,
        },
      ),
    ];
  },
};
