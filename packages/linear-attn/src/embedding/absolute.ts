/** Trained positional embeddings. */

import type { Tensor } from "@x/tensor";
import type { PositionOptions } from "@x/tensor/nn";
import { Embedding, Module } from "../engine.js";
import { checkCounts } from "../checks.js";
import { vectorsFor } from "./positions.js";

const owner = "AbsolutePositionalEmbedding";

/**
 * A trained vector for each of `maxSeqLen` positions.
 *
 * @example
 * ```ts
 * const embedding = new AbsolutePositionalEmbedding(8, 512);
 * console.log(embedding.forward(zeros([2, 100, 8])).shape); // → [ 1, 100, 8 ]
 * ```
 */
export class AbsolutePositionalEmbedding extends Module {
  /** How many positions there are. */
  readonly maxSeqLen: number;
  /** The table of the vectors. */
  readonly emb: Embedding;

  /** @throws XError `argument` if a size is not a whole number of at least 1 */
  constructor(dim: number, maxSeqLen: number) {
    super();
    checkCounts(owner, { dim, maxSeqLen });
    this.maxSeqLen = maxSeqLen;
    this.emb = new Embedding(maxSeqLen, dim);
  }

  /**
   * The vectors of the positions of `x`, [batch, length, dim], as [1, length, dim]; `x` itself is not
   * added.
   *
   * @throws XError `shape` if `x` has other axes; `argument` if there are more positions than vectors,
   * as far as that can be seen
   */
  forward(x: Tensor, options: PositionOptions = {}): Tensor {
    return vectorsFor(owner, x, this.emb.weight, options);
  }
}
