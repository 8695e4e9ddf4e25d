/** Attention over keys and values that are projected to a fixed number of positions. */

import type { Tensor } from "@x/tensor";
import {
  Dropout,
  init,
  Linear,
  Module,
  Parameter,
  scaledDotProductAttention,
  zeros,
} from "../engine.js";
import { checkAxes, checkCounts, checkSequence } from "../checks.js";
import { headSize, splitHeads, joinHeads, withoutPadding } from "../sequence.js";
import { checkCompat, type Compatibility } from "../compatibility.js";

/** Options of {@link LinformerSelfAttention}. */
export interface LinformerSelfAttentionOptions {
  /** To how many positions keys and values are projected. Default 256. */
  readonly k?: number;
  /** How many heads. Default 8. */
  readonly heads?: number;
  /** Size of a head. Default `dim / heads`. */
  readonly dimHead?: number | null;
  /** Whether all heads share one head of keys and values. Default false. */
  readonly oneKvHead?: boolean;
  /** Whether the keys serve as values too. Default false. */
  readonly shareKv?: boolean;
  /** The probability with which weights are dropped in training. Default 0. */
  readonly dropout?: number;
  /** Reproduces the original, which ignores masks; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** Options of a call. */
export interface LinformerCall {
  /** What keys and values are made of, [batch, seqLen, dim], in place of the input. */
  readonly context?: Tensor | null;
  /** Bool [batch, seqLen]: true where a position of the input takes part as a key. */
  readonly inputMask?: Tensor | null;
  /** Bool [batch, seqLen]: the same for the context. */
  readonly contextMask?: Tensor | null;
}

const owner = "LinformerSelfAttention";

/**
 * Attention whose keys and values are projected from `seqLen` to `k` positions by trained matrices,
 * so that it is linear in the length: `softmax(q (Pₖᵀ K)ᵀ / √dimHead) (Pᵥᵀ V)`. It is not causal.
 *
 * @example
 * ```ts
 * const attention = new LinformerSelfAttention(16, 100, { k: 8, heads: 4 });
 * console.log(attention.forward(ones([2, 100, 16])).shape); // → [ 2, 100, 16 ]
 * ```
 *
 * @see Wang et al.: Linformer: Self-Attention with Linear Complexity (2020)
 */
export class LinformerSelfAttention extends Module {
  /** How many keys there must be. */
  readonly seqLen: number;
  /** To how many positions they are projected. */
  readonly k: number;
  /** How many heads. */
  readonly heads: number;
  /** Size of a head. */
  readonly dimHead: number;
  /** Whether the keys serve as values too. */
  readonly shareKv: boolean;
  /** `"reference"` where the original is reproduced, else `null`. */
  readonly compat: Compatibility | null;
  /** To the queries. */
  readonly toQ: Linear;
  /** To the keys. */
  readonly toK: Linear;
  /** Projects positions of the keys, [seqLen, k]. */
  readonly projK: Parameter;
  /** To the values, or `null` where the keys serve as values. */
  readonly toV: Linear | null;
  /** Projects positions of the values, [seqLen, k], or `null`. */
  readonly projV: Parameter | null;
  /** Drops weights. */
  dropout: Dropout;
  /** From the joined heads. */
  readonly toOut: Linear;

  /**
   * @param dim size of inputs and results
   * @param seqLen how many keys there must be
   * @throws XError `argument` if a number is out of range or the heads do not divide `dim`
   */
  constructor(dim: number, seqLen: number, options: LinformerSelfAttentionOptions = {}) {
    super();
    const { k = 256, heads = 8, oneKvHead = false, shareKv = false, dropout = 0 } = options;
    checkCounts(owner, { dim, seqLen, k, heads });
    const dimHead = headSize(owner, dim, heads, options.dimHead);
    this.seqLen = seqLen;
    this.k = k;
    this.heads = heads;
    this.dimHead = dimHead;
    this.shareKv = shareKv;
    this.compat = checkCompat(owner, options.compat);
    const keySize = oneKvHead ? dimHead : dimHead * heads;
    const projection = (): Parameter => {
      const weight = new Parameter(zeros([seqLen, k]));
      init.uniform(weight, -(k ** -0.5), k ** -0.5);
      return weight;
    };
    this.toQ = new Linear(dim, dimHead * heads, { bias: false });
    this.toK = new Linear(dim, keySize, { bias: false });
    this.projK = projection();
    this.toV = shareKv ? null : new Linear(dim, keySize, { bias: false });
    this.projV = shareKv ? null : projection();
    this.dropout = new Dropout(dropout);
    this.toOut = new Linear(dimHead * heads, dim);
  }

  /**
   * From [batch, queries, dim] to the same shape. Masked positions are not part of what is projected.
   *
   * @throws XError `shape` if a tensor or mask does not fit
   */
  forward(x: Tensor, options: LinformerCall = {}): Tensor {
    const { context = null, inputMask = null, contextMask = null } = options;
    const source = context ?? x;
    const mask = this.compat === null ? (context === null ? inputMask : contextMask) : null;
    checkSequence(owner, "input", x, this.toQ.inFeatures);
    checkSequence(owner, "context", source, this.toQ.inFeatures, mask);
    checkAxes(owner, "keys", source, ["batch", this.seqLen, "dim"]);
    const heads = (y: Tensor): Tensor => splitHeads(y, this.dimHead);
    const project = (y: Tensor, projection: Tensor): Tensor =>
      heads(projection.t().matmul(withoutPadding(y, mask)));
    const keys = this.toK.forward(source);
    const values = this.toV?.forward(source) ?? keys;
    const { training, p } = this.dropout;
    const attended = scaledDotProductAttention(
      heads(this.toQ.forward(x)),
      project(keys, this.projK),
      project(values, this.projV ?? this.projK),
      { enableGqa: true, dropoutP: training ? p : 0 },
    );
    return this.toOut.forward(joinHeads(attended));
  }
}
