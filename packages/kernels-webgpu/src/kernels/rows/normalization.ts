/** Layer norm and RMS norm: rows brought to mean 0 and variance 1, or to mean square 1. */

import type { NativeStep, Node, Operand } from "@x/tensor/device";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { constantCode } from "../../wgsl/functions.js";
import { denseView } from "../view.js";
import { rowsAlong, RowShader, type RowShape, type RowValue } from "./row-shader.js";

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

/** What a norm reads. */
export interface NormInputs {
  /** The rows. */
  readonly x: Operand;
  /** What each element of a row is multiplied by. */
  readonly weight: Operand | null;
  /** What is added to it then. */
  readonly bias: Operand | null;
}

/** The operands of a norm by name. */
export function normInputs({ node, inputs }: Pick<NativeStep, "node" | "inputs">): NormInputs {
  const { hasWeight, hasBias } = node.attributes;
  const [x, ...affine] = inputs as [Operand, ...Operand[]];
  const weight = hasWeight === true ? affine.shift()! : null;
  const bias = hasBias === true ? affine.shift()! : null;
  return { x, weight, bias };
}

/** What is known of a row when it is normalized. */
interface NormalizedRow {
  readonly value: RowValue;
  /** The mean, if rows are centred, and the factor that makes the variance 1. */
  readonly statistics: readonly string[];
}

/** Writes the norm of a row. */
export function normalize(row: RowShader, step: NativeStep): NormalizedRow {
  const { x, weight, bias } = normInputs(step);
  const { op, attributes } = step.node;
  const constant = (value: number): string => constantCode(value, "float32", row.shader.helpers);
  const share = constant(1 / normalizedRows(step.node).size);
  const statistics: string[] = [];
  const elements = row.load(x);
  const [factors, terms] = [weight, bias].map((operand) => operand && row.loadShared(operand));
  let own = elements;
  if (op.name === layerNormKernel.op) {
    const mean = row.name(`${row.sum(elements)} * ${share}`);
    statistics.push(mean);
    own = row.map((piece) => `(${elements(piece)} - ${mean})`);
  }
  const power = row.sum((piece) => `${own(piece)} * ${own(piece)}`);
  const eps = constant(attributes.eps as number);
  const scale = row.name(`1 / sqrt(${power} * ${share} + ${eps})`);
  statistics.push(scale);
  const value: RowValue = (piece) => {
    const scaled = `${own(piece)} * ${scale}${factors ? ` * ${factors(piece)}` : ""}`;
    return terms ? `${scaled} + ${terms(piece)}` : scaled;
  };
  return { value, statistics };
}

function normKernel(op: string): NativeKernel {
  return {
    op,
    supports: hasRows,
    canBePrologue: true,
    lower: (step, context: LoweringContext) => {
      const { x, weight, bias } = normInputs(step);
      const [output, ...singles] = step.outputs;
      const y = denseView(output!, "float32", x.shape);
      const operands = { elements: [x, y], shared: [weight, bias] };
      const row = new RowShader(context, normalizedRows(step.node), operands);
      row.eachRow(() => {
        const { value, statistics } = normalize(row, step);
        statistics.forEach((number, i) => row.storeSingle(singles[i]!, number));
        row.store(y, value);
      });
      return [row.launch(op)];
    },
  };
}

/** The kernel of `layerNorm`. */
export const layerNormKernel: NativeKernel = normKernel("layerNorm");

/** The kernel of `rmsNorm`. */
export const rmsNormKernel: NativeKernel = normKernel("rmsNorm");
