/** SRF attention for models that take any attention. */

import { FastAttention, type FastAttentionOptions } from "../attention/fast-attention.js";

/** Options of {@link srfAttention}. */
export type SrfAttentionOptions = Omit<FastAttentionOptions, "causal" | "compat">;

/**
 * {@link FastAttention} as a mechanism for models that take any attention: each call says whether it
 * is causal. Being a module with a buffer, it is saved, moved and cloned with the model that
 * has it as a property.
 *
 * @throws XError `argument` if an option is out of range
 * @example
 * ```ts
 * const attention = srfAttention({ headDim: 4, nbFeatures: 16 });
 * const x = randn([1, 2, 3, 4]);
 * console.log(attention.forward(x, x, x, { isCausal: true }).shape); // → [ 1, 2, 3, 4 ]
 *
 * const state = attention.initState({ batch: 1, heads: 2 });
 * const token = randn([1, 2, 1, 4]);
 * await attention.step(token, token, token, state).realize();
 * console.log(await state.count.toArray()); // → [ [ 1, 1 ] ]
 * ```
 */
export function srfAttention(options: SrfAttentionOptions): FastAttention {
  return new FastAttention(options);
}
