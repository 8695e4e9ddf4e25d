/** Softmax, its logarithm, their gradients, and log Σ eˣ. */

import type { Node, Operand } from "@x/tensor/device";
import type { NativeKernel } from "../../native.js";
import { denseView } from "../view.js";
import { rowsAlong, RowShader, type RowValue } from "./row-shader.js";

/** From the rows of the inputs to the row of the output. */
type Program = (row: RowShader, ...inputs: RowValue[]) => RowValue;

/** The kernel of an operation along an axis whose operands all have one shape. */
function alongAxis(op: string, program: Program): NativeKernel {
  return {
    op,
    lower: ({ node, inputs, outputs }, context) => {
      const { shape } = node.outputs[0]!;
      const rows = rowsAlong(shape, node.attributes.axis as number, 1);
      const output = denseView(outputs[0]!, "float32", shape);
      const row = new RowShader(context, rows, { elements: [...inputs, output] });
      row.eachRow(() => {
        const values = inputs.map((input) => row.load(input));
        row.store(output, program(row, ...values));
      });
      return [row.launch(op)];
    },
  };
}

/** The kernel of `softmax`. */
export const softmaxKernel: NativeKernel = alongAxis("softmax", (row, x) => {
  const largest = row.largest(x);
  const powers = row.map((piece) => row.exp(`${x(piece)} - ${largest}`));
  const sum = row.sum(powers);
  const factor = row.name(`1 / ${sum}`);
  return (piece) => `${powers(piece)} * ${factor}`;
});

/** The kernel of `softmaxBackward`: y (g − Σ g y). */
export const softmaxBackwardKernel: NativeKernel = alongAxis("softmaxBackward", (row, y, g) => {
  const along = row.sum((piece) => `${y(piece)} * ${g(piece)}`);
  return (piece) => `${y(piece)} * (${g(piece)} - ${along})`;
});

/** The kernel of `logSoftmax`. */
export const logSoftmaxKernel: NativeKernel = alongAxis("logSoftmax", (row, x) => {
  const largest = row.largest(x);
  const sum = row.sum((piece) => row.exp(`${x(piece)} - ${largest}`));
  row.shader.helpers.use("floatLog");
  const logarithm = row.name(`floatLog(${sum})`);
  return (piece) => `${x(piece)} - ${largest} - ${logarithm}`;
});

/** The kernel of `logSoftmaxBackward`: g − eʸ Σ g. */
export const logSoftmaxBackwardKernel: NativeKernel = alongAxis(
  "logSoftmaxBackward",
  (row, y, g) => {
    const sum = row.sum(g);
    return (piece) => `${g(piece)} - ${row.exp(y(piece))} * ${sum}`;
  },
);

/** log Σ eˣ of a row: ∞ where an element is, −∞ where all are, NaN where one is. */
export function logSumExp(row: RowShader, x: RowValue): string {
  const largest = row.largest(x);
  const bits = `bitcast<u32>(${largest}) & 0x7fffffffu`;
  // With an infinite shift there would be ∞ − ∞.
  const shift = row.name(`select(0f, ${largest}, (${bits}) < 0x7f800000u)`);
  const sum = row.sum((piece) => row.exp(`${x(piece)} - ${shift}`));
  row.shader.helpers.use("floatLog");
  return row.name(`floatLog(${sum}) + ${shift}`);
}

/** The first of the reduced axes and their number, if they are neighbours. */
function neighbours({ attributes }: Node): [first: number, count: number] | null {
  const axes = (attributes.axes as readonly number[]).toSorted((a, b) => a - b);
  const first = axes[0];
  if (first === undefined || axes.some((axis, i) => axis !== first + i)) return null;
  return [first, axes.length];
}

/** The kernel of `logSumExp`, over neighbouring axes. */
export const logSumExpKernel: NativeKernel = {
  op: "logSumExp",
  supports: (node) => neighbours(node) !== null && !node.inputs[0]!.shape.includes(0),
  lower: ({ name, node, inputs, outputs }, context) => {
    const x = inputs[0] as Operand;
    const y = denseView(outputs[0]!, "float32", node.outputs[0]!.shape);
    const row = new RowShader(context, rowsAlong(x.shape, ...neighbours(node)!), {
      elements: [x],
      single: [y],
    });
    row.eachRow(() => {
      row.storeSingle(y.buffer, logSumExp(row, row.load(x)));
    });
    return [row.launch(name)];
  },
};
