/** Sinusoidal positional embeddings, and rotations by them. */

import type { Tensor } from "@x/tensor";
import type { PositionOptions } from "@x/tensor/nn";
import { arange, Buffer, cat, checkNumbers, fromData, Module, even } from "../engine.js";
import { checkCounts } from "../checks.js";
import { vectorsFor } from "./positions.js";

/** Options of {@link FixedPositionalEmbedding}. */
export interface FixedPositionalEmbeddingOptions {
  /** Whether the table is part of the state dictionary, as in the original. Default true. */
  readonly persistent?: boolean;
}

const owner = "FixedPositionalEmbedding";

/**
 * Waves in place of trained vectors: that of position p is `[sin(p ω₀), sin(p ω₁) … cos(p ω₀), cos(p ω₁) …]`
 * with `ωᵢ = 10000^(−2i / dim)`.
 *
 * @example
 * ```ts
 * const embedding = new FixedPositionalEmbedding(4, 512);
 * const waves = embedding.forward(zeros([2, 1, 4]));
 * console.log(await waves.toArray()); // → [ [ [ 0, 0, 1, 1 ] ] ]
 * ```
 *
 * @see Vaswani et al.: Attention Is All You Need (2017)
 */
export class FixedPositionalEmbedding extends Module {
  /** How many positions there are. */
  readonly maxSeqLen: number;
  /** The vectors, [maxSeqLen, dim]. */
  readonly emb: Buffer;

  /** @throws XError `argument` if a size is not a whole number of at least 1, or `dim` is odd */
  constructor(dim: number, maxSeqLen: number, options: FixedPositionalEmbeddingOptions = {}) {
    super();
    const { persistent = true } = options;
    checkCounts(owner, { dim, maxSeqLen });
    checkNumbers(owner, even, { dim });
    this.maxSeqLen = maxSeqLen;
    // Rounded as in the original, so that tables of checkpoints are those made here.
    const frequencies = new Float32Array(dim / 2).map(
      (_, i) => 1 / Math.fround(10000 ** ((2 * i) / dim)),
    );
    const angles = arange(maxSeqLen)
      .unsqueeze(-1)
      .mul(fromData(frequencies, [dim / 2]));
    this.emb = new Buffer(cat([angles.sin(), angles.cos()], -1), { persistent });
  }

  /**
   * The vectors of the positions of `x`, [batch, length, …], as [1, length, dim]; `x` itself is not
   * added.
   *
   * @throws XError `shape` if `x` has other axes; `argument` if there are more positions than vectors,
   * as far as that can be seen
   */
  forward(x: Tensor, options: PositionOptions = {}): Tensor {
    return vectorsFor(owner, x, this.emb, options);
  }
}
