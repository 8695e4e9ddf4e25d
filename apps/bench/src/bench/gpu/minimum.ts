/** The least work that a graph takes, from its shapes. */

import { bytesPerElement, type Graph, type Node, type Value } from "@x/tensor/device";

/** What cannot be saved. */
export interface Minimum {
  /** Multiplications and additions. */
  readonly flops: number;
  /** Every input read once and every output written once. */
  readonly bytes: number;
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const bytesOf = ({ shape, dtype }: Value): number => sizeOf(shape) * bytesPerElement(dtype);

/** The query-key pairs of attention that count. */
function pairs(queries: number, keys: number, causal: boolean): number {
  return causal ? queries * keys - (queries * (queries - 1)) / 2 : queries * keys;
}

/** Products of matrices by their shapes, one operation an element for the rest. */
function flopsOf({ op, inputs, outputs, attributes }: Node): number {
  const shapes = inputs.map(({ shape }) => shape);
  const size = sizeOf(outputs[0]!.shape);
  switch (op.name) {
    case "matmul":
      return 2 * size * shapes[0]!.at(-1)!;
    case "convolution":
      return 2 * size * sizeOf(shapes[1]!.slice(1));
    case "scaledDotProductAttention":
    case "scaledDotProductAttentionBackward": {
      const [batch, heads, queries, width] = shapes[0] as [number, number, number, number];
      const seen = pairs(queries, shapes[1]![2]!, attributes.causal === true);
      // Two products, or five with the scores computed again.
      const products = op.name.endsWith("Backward") ? 5 : 2;
      return 2 * products * batch * heads * seen * ((width + shapes[2]![3]!) / 2);
    }
    case "cumulativeLinearAttention":
    case "cumulativeLinearAttentionBackward": {
      // Adding a token to the state and reading it; backward also the state of the cotangents.
      const products = op.name.endsWith("Backward") ? 5 : 2;
      return 2 * products * sizeOf(shapes[0]!) * shapes[2]!.at(-1)!;
    }
    default:
      return op.kind === "movement" || op.kind === "leaf" || op.kind === "identity"
        ? 0
        : Math.max(
            outputs.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
            ...shapes.map(sizeOf),
          );
  }
}

/** The least work of a graph. */
export function minimumOf({ nodes, inputs, outputs }: Graph): Minimum {
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
  return { flops: sum(nodes.map(flopsOf)), bytes: sum([...inputs, ...outputs].map(bytesOf)) };
}
