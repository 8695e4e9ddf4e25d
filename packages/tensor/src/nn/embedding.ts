/** Tables of vectors, looked up by number. */

import { check } from "../error.js";
import { randn } from "../random/index.js";
import { checkNumbers, count } from "../tensor/arguments.js";
import { arange } from "../tensor/creation.js";
import { embedding } from "../tensor/embedding.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";
import { Parameter } from "./parameter.js";

/** The number of the row for padding, counted from the start. */
function paddingRow(paddingIdx: number, rows: number): number {
  const row = paddingIdx < 0 ? paddingIdx + rows : paddingIdx;
  check(
    Number.isInteger(row) && row >= 0 && row < rows,
    "argument",
    () =>
      `Embedding: paddingIdx must be a row of the table, from ${-rows} to ${rows - 1}, got ${String(paddingIdx)}. Correct it.`,
  );
  return row;
}

/** Options of the module `Embedding`. */
export interface EmbeddingModuleOptions {
  /** A row that starts as zeros and gets no gradient; negative numbers count from the end. */
  readonly paddingIdx?: number | null;
}

/**
 * A table of trained vectors: each number of the input becomes a row of `weight`.
 *
 * The rows start with standard normal numbers, as in PyTorch.
 *
 * @example
 * ```ts
 * const tokens = new Embedding(1000, 64, { paddingIdx: 0 });
 * const ids = tensor([[5, 7, 0]], { dtype: "int32" });
 * console.log(tokens.forward(ids).shape); // → [ 1, 3, 64 ]
 * ```
 */
export class Embedding extends Module {
  /** How many vectors the table has. */
  readonly numEmbeddings: number;
  /** How long each vector is. */
  readonly embeddingDim: number;
  /** The row that gets no gradient, or `null`. */
  readonly paddingIdx: number | null;
  /** `[numEmbeddings, embeddingDim]` */
  readonly weight: Parameter;

  /** @throws XError `argument` if a size is not a whole number of at least 1 */
  constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingModuleOptions = {}) {
    super();
    checkNumbers("Embedding", count, { numEmbeddings, embeddingDim });
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    const { paddingIdx = null } = options;
    this.paddingIdx = paddingIdx === null ? null : paddingRow(paddingIdx, numEmbeddings);
    let rows = randn([numEmbeddings, embeddingDim]);
    if (this.paddingIdx !== null) {
      const number = arange(numEmbeddings, { dtype: "int32" }).unsqueeze(-1);
      rows = rows.maskedFill(number.eq(this.paddingIdx), 0);
    }
    this.weight = new Parameter(rows);
  }

  /** From integers `[...]` to vectors `[..., embeddingDim]`. */
  forward(index: Tensor): Tensor {
    const { paddingIdx } = this;
    return embedding(index, this.weight, paddingIdx === null ? {} : { paddingIdx });
  }
}
