/** Elements and rows picked by index: walks in which an index moves the source. */

import type { NativeStep, Operand } from "../../../plan/schedule.js";
import { bytesPerElement } from "../../../tensor/dtype.js";
import { sizeOf, stridesOf, type Shape } from "../../../tensor/shape.js";
import type { Launch } from "../../launch.js";
import type { NativeKernel } from "../../native.js";
import { fillWithZeros } from "../move/fill.js";
import { walkLaunch } from "../move/walk.js";
import { hasDenseBlocks } from "../strided.js";

/** Walks over the shape of an index that names the place along `axis`. */
function pick({ node, inputs, outputs }: NativeStep, operand: Operand): readonly Launch[] {
  const axis = node.attributes.axis as number;
  const x = inputs[0]!;
  const { shape } = operand;
  const buffer = outputs[0]!;
  const { name } = node.op;
  const length = x.shape[axis]!;
  // There is nothing to pick: any number will do.
  if (length === 0) return fillWithZeros(name, buffer, sizeOf(shape) * bytesPerElement(x.dtype));
  return walkLaunch(
    name,
    { ...x, shape, strides: x.strides.with(axis, 0) },
    { buffer, strides: stridesOf(shape) },
    {
      operand,
      moves: "source",
      stride: x.strides[axis]!,
      last: length - 1,
    },
  );
}

/** The kernel of `gather`: along an axis, the element that each index names. */
export const gatherKernel: NativeKernel = {
  op: "gather",
  acceptsView: () => true,
  lower: (step) => pick(step, step.inputs[1]!),
};

/** A dense index of any shape as one of rows: along `axis` of a tensor, the same for the other axes. */
export function rowIndex(index: Operand, shape: Shape, axis: number): Operand {
  return {
    ...index,
    shape: shape.with(axis, sizeOf(index.shape)),
    strides: shape.map((_, d) => (d === axis ? 1 : 0)),
  };
}

/** The kernel of `take`: rows picked by index, as an embedding does. */
export const takeKernel: NativeKernel = {
  op: "take",
  acceptsView: (node, input, view) =>
    input === 0 && hasDenseBlocks(view, node.attributes.axis as number),
  lower: (step) => {
    const axis = step.node.attributes.axis as number;
    const [x, index] = step.inputs as [Operand, Operand];
    return pick(step, rowIndex(index, x.shape, axis));
  },
};
