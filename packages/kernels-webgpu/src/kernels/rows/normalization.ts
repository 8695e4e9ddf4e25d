/** Layer norm and RMS norm: rows brought to mean 0 and variance 1, or to mean square 1. */

import type { Node, Operand } from "@x/tensor/device";
import { constantCode } from "../../wgsl/functions.js";
import type { NativeKernel } from "../../native.js";
import { denseView } from "../view.js";
import { rowsAlong, RowShader, type RowShape } from "./row-shader.js";

/** The rows of a node's first input: its last `axes` axes. */
export function normalizedRows({ inputs, attributes }: Node): RowShape {
  const { shape } = inputs[0]!;
  const axes = attributes.axes as number;
  return rowsAlong(shape, shape.length - axes, axes);
}

/** Whether there is anything to normalize. */
export function hasRows(node: Node): boolean {
  return !node.inputs[0]!.shape.includes(0);
}

function normKernel(op: string, isCentred: boolean): NativeKernel {
  return {
    op,
    supports: hasRows,
    lower: ({ node, inputs, outputs }, context) => {
      const rows = normalizedRows(node);
      const { hasWeight, hasBias, eps } = node.attributes;
      const [x, ...affine] = inputs as [Operand, ...Operand[]];
      const weight = hasWeight === true ? affine.shift()! : null;
      const bias = hasBias === true ? affine.shift()! : null;
      const y = denseView(outputs[0]!, "float32", x.shape);
      const row = new RowShader(context, rows, { elements: [x, y], shared: [weight, bias] });
      const constant = (value: number): string =>
        constantCode(value, "float32", row.shader.helpers);
      const share = constant(1 / rows.size);
      row.eachRow(() => {
        const elements = row.load(x);
        const [factors, terms] = [weight, bias].map(
          (operand) => operand && row.loadShared(operand),
        );
        let own = elements;
        if (isCentred) {
          const mean = row.name(`${row.sum(elements)} * ${share}`);
          row.storeSingle(outputs[1]!, mean);
          own = row.map((piece) => `(${elements(piece)} - ${mean})`);
        }
        const power = row.sum((piece) => `${own(piece)} * ${own(piece)}`);
        const scale = row.name(`1 / sqrt(${power} * ${share} + ${constant(eps as number)})`);
        row.storeSingle(outputs[isCentred ? 2 : 1]!, scale);
        row.store(y, (piece) => {
          const scaled = `${own(piece)} * ${scale}${factors ? ` * ${factors(piece)}` : ""}`;
          return terms ? `${scaled} + ${terms(piece)}` : scaled;
        });
      });
      return [row.launch(op)];
    },
  };
}

/** The kernel of `layerNorm`. */
export const layerNormKernel: NativeKernel = normKernel("layerNorm", true);

/** The kernel of `rmsNorm`. */
export const rmsNormKernel: NativeKernel = normKernel("rmsNorm", false);
