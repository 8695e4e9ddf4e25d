/** Looking up rows of a table, and the linear map. */

import { check } from "../error.js";
import { add, equal, where } from "../ops/elementwise.js";
import { detach } from "../ops/identity.js";
import { take } from "../ops/indexing.js";
import { scalar } from "../ops/leaf.js";
import { matmul } from "../ops/matmul.js";
import { reshape, transpose } from "../ops/movement.js";
import { formatShape, sameShape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** Options of `embedding`. */
export interface EmbeddingOptions {
  /** The row that gets no gradient, because it stands for padding; negative from the end. */
  readonly paddingIdx?: number;
}

/**
 * Rows of `weight` [rows, size] at `index` (integers of any shape): index.shape + [size].
 *
 * @example
 * ```ts
 * import { embedding, tensor } from "@x/tensor";
 *
 * const table = tensor([[1, 2], [3, 4]]);
 * const tokens = tensor([1, 1, 0], { dtype: "int32" });
 * console.log(await embedding(tokens, table).toArray()); // → [ [ 3, 4 ], [ 3, 4 ], [ 1, 2 ] ]
 * ```
 */
export function embedding(index: Tensor, weight: Tensor, options: EmbeddingOptions = {}): Tensor {
  check(
    weight.rank === 2,
    "shape",
    () =>
      `embedding: the table must be [rows, size], got shape ${formatShape(weight.shape)}. Reshape it.`,
  );
  const rows = take(weight.value, 0, index.value);
  const { paddingIdx } = options;
  if (paddingIdx === undefined) return new Tensor(rows);
  const count = weight.shape[0]!;
  const row = paddingIdx < 0 ? paddingIdx + count : paddingIdx;
  check(
    Number.isInteger(row) && row >= 0 && row < count,
    "argument",
    () =>
      `embedding: paddingIdx must name one of the ${count} rows, got ${paddingIdx}. Correct it.`,
  );
  const isPadding = equal(reshape(index.value, [...index.shape, 1]), scalar(row, "int32"));
  return new Tensor(where(isPadding, detach(rows), rows));
}

/** Options of `embeddingBag`. */
export interface EmbeddingBagOptions {
  /** How the rows of a bag are joined. Default `"mean"`. */
  readonly mode?: "sum" | "mean" | "max";
  /** Multiplies each row before it is summed; of the shape of the index, for mode `"sum"`. */
  readonly perSampleWeights?: Tensor | null;
}

/**
 * Rows of `weight` [rows, size] at `index` [bags, length], joined for each bag: [bags, size].
 *
 * @example
 * ```ts
 * import { embeddingBag, tensor } from "@x/tensor";
 *
 * const table = tensor([[1, 2], [3, 4]]);
 * const bags = tensor([[0, 1], [1, 1]], { dtype: "int32" });
 * console.log(await embeddingBag(bags, table).toArray()); // → [ [ 2, 3 ], [ 3, 4 ] ]
 * ```
 */
export function embeddingBag(
  index: Tensor,
  weight: Tensor,
  options: EmbeddingBagOptions = {},
): Tensor {
  const { mode = "mean", perSampleWeights = null } = options;
  check(
    index.rank === 2,
    "shape",
    () =>
      `embeddingBag: the index must be [bags, length], got shape ${formatShape(index.shape)}. Reshape it.`,
  );
  const rows = embedding(index, weight);
  if (perSampleWeights !== null) {
    check(
      mode === "sum" && sameShape(perSampleWeights.shape, index.shape),
      "argument",
      () =>
        `embeddingBag: sample weights need mode "sum" and the shape of the index, got mode "${mode}" and ${formatShape(perSampleWeights.shape)}. Correct them.`,
    );
    return rows.mul(perSampleWeights.unsqueeze(-1)).sum(1);
  }
  if (mode === "max") return rows.amax(1);
  return mode === "sum" ? rows.sum(1) : rows.mean(1);
}

/**
 * x weightᵀ + bias: inputs [..., in], weight [out, in], bias [out] give [..., out].
 *
 * @example
 * ```ts
 * import { linear, tensor } from "@x/tensor";
 *
 * const y = linear(tensor([1, 2]), tensor([[1, 1], [0, 3]]), tensor([10, 20]));
 * console.log(await y.toArray()); // → [ 13, 26 ]
 * ```
 */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  check(
    weight.rank === 2 && x.rank >= 1 && x.shape.at(-1) === weight.shape[1],
    "shape",
    () =>
      `linear: the weight must be [out, in] with as many inputs as the last axis, got ${formatShape(weight.shape)} for ${formatShape(x.shape)}. Transpose or reshape one of them.`,
  );
  const product = matmul(x.value, transpose(weight.value, 0, 1));
  return new Tensor(bias === null ? product : add(product, bias.value));
}
