/** Settings of attention by projection to a fixed number of positions. */

import { checkCounts } from "../checks.js";

/**
 * Puts {@link LinformerSelfAttention} in the place of self-attention, in models that are not causal
 * and whose sequences have one length.
 *
 * @example
 * ```ts
 * const model = new LinearAttentionTransformer({
 *   dim: 8,
 *   depth: 1,
 *   maxSeqLen: 32,
 *   heads: 2,
 *   linformerSettings: new LinformerSettings({ k: 4 }),
 * });
 * console.log(model.forward(ones([1, 32, 8])).shape); // → [ 1, 32, 8 ]
 * ```
 */
export class LinformerSettings {
  /** To how many positions keys and values are projected. */
  readonly k: number;

  /** @throws XError `argument` if `k` is not a whole number of at least 1 */
  constructor({ k }: { readonly k: number }) {
    checkCounts("LinformerSettings", { k });
    this.k = k;
  }
}

/**
 * Puts {@link LinformerSelfAttention} in the place of the attention to a context, where the context
 * has one length.
 *
 * @example
 * ```ts
 * const settings = new LinformerContextSettings({ seqLen: 2048, k: 256 });
 * console.log(settings.seqLen, settings.k); // → 2048 256
 * ```
 */
export class LinformerContextSettings {
  /** The length of the context. */
  readonly seqLen: number;
  /** To how many positions keys and values are projected. */
  readonly k: number;

  /** @throws XError `argument` if a number is not a whole number of at least 1 */
  constructor({ seqLen, k }: { readonly seqLen: number; readonly k: number }) {
    checkCounts("LinformerContextSettings", { seqLen, k });
    this.seqLen = seqLen;
    this.k = k;
  }
}
