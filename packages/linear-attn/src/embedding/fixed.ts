/** Sinusoidal positional embeddings, and rotations by them. */

import { fromData, type Tensor } from "@x/tensor";
import { Buffer, Module, type PositionOptions } from "@x/tensor/nn";
import { checkArgument, checkCounts } from "../checks.js";
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
    checkArgument(
      owner,
      dim % 2 === 0,
      () => `dim must be even, got ${dim}. A sine and a cosine go together.`,
    );
    this.maxSeqLen = maxSeqLen;
    this.emb = new Buffer(fromData(waves(dim, maxSeqLen), [maxSeqLen, dim]), { persistent });
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

function waves(dim: number, maxSeqLen: number): Float32Array {
  const half = dim / 2;
  const table = new Float32Array(maxSeqLen * dim);
  for (let i = 0; i < half; i++) {
    // Angles are rounded as in the original, so that tables of checkpoints are those made here.
    const frequency = Math.fround(1 / Math.fround(10000 ** ((2 * i) / dim)));
    for (let position = 0; position < maxSeqLen; position++) {
      const angle = Math.fround(position * frequency);
      table[position * dim + i] = Math.sin(angle);
      table[position * dim + half + i] = Math.cos(angle);
    }
  }
  return table;
}
