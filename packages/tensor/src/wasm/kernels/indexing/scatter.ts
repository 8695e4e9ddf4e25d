/** Elements and rows written, or added, where an index names a place: it moves the target of a walk. */

import type { NativeStep, Operand } from "../../../plan/schedule.js";
import { stridesOf } from "../../../tensor/shape.js";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { copyBase } from "../move/base.js";
import { addOf, type Combine } from "../move/block.js";
import { walkLaunch } from "../move/walk.js";
import { rowIndex } from "./pick.js";

/** Walks over a source, where an index of the same shape names places along `axis`. */
function place(
  step: NativeStep,
  { threads }: LoweringContext,
  operand: Operand,
  source: Operand,
  combine: Combine,
): readonly Launch[] {
  const { node, inputs, outputs } = step;
  const axis = node.attributes.axis as number;
  const base = inputs[0]!;
  const strides = stridesOf(base.shape);
  const moved = walkLaunch(
    node.op.name,
    source,
    { buffer: outputs[0]!, strides: strides.with(axis, 0) },
    {
      operand,
      moves: "target",
      stride: strides[axis]!,
      last: base.shape[axis]! - 1,
      ordered: axis,
    },
    combine,
    threads,
  );
  return [...copyBase(step), ...moved];
}

function scatter(op: string, combineOf: (base: Operand) => Combine): NativeKernel {
  return {
    op,
    acceptsView: (_node, input) => input > 0,
    lower: (step, context) => {
      const [base, index, source] = step.inputs as [Operand, Operand, Operand];
      return place(step, context, index, source, combineOf(base));
    },
  };
}

/** The kernel of `scatter`. */
export const scatterKernel: NativeKernel = scatter("scatter", () => "replace");

/** The kernel of `scatterAdd`. */
export const scatterAddKernel: NativeKernel = scatter("scatterAdd", ({ dtype }) => addOf(dtype));

/** The kernel of `indexAdd`: rows added where an index names a row, the gradient of an embedding. */
export const indexAddKernel: NativeKernel = {
  op: "indexAdd",
  lower: (step, context) => {
    const axis = step.node.attributes.axis as number;
    const [base, index, source] = step.inputs as [Operand, Operand, Operand];
    const operand = rowIndex(index, base.shape, axis);
    const rows = { ...source, shape: operand.shape, strides: stridesOf(operand.shape) };
    return place(step, context, operand, rows, addOf(base.dtype));
  },
};
