/** The attention module of the original. */

import type { Generator } from "@x/tensor/random";
import type { Compatibility } from "./compatibility.js";
import { FastAttention } from "./fast-attention.js";

/** Options of {@link Attention}. */
export interface AttentionModuleOptions {
  /** How many random features there are. Default d. */
  readonly nFeatures?: number;
  /** Whether the random vectors are divided by √d. Default false. */
  readonly scale?: boolean;
  /** Whether the random vectors are given length 1. Default false. */
  readonly normalize?: boolean;
  /** Where the random numbers come from; the default generator unless given. */
  readonly generator?: Generator;
  /** Reproduces the original where it sees the future; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/**
 * {@link FastAttention} with the arguments of the class `Attention` of the Python package
 * srf-attention. Its `attn_fn` "torch" is `attnFn: "plain"` here, "flash" is `"fused"`; the mode
 * "train" is `forward`.
 *
 * @example
 * ```ts
 * const attention = new Attention(8, true).redrawOnCall_(false);
 * const [q, k, v] = [randn([1, 2, 10, 8]), randn([1, 2, 10, 8]), randn([1, 2, 10, 8])];
 * const y = attention.redraw_().forward(q, k, v, { attnFn: "plain", chunkSize: 4 });
 * console.log(y.shape, Object.keys(attention.stateDict())); // → [ 1, 2, 10, 8 ] [ 'projection_matrix' ]
 * ```
 */
export class Attention extends FastAttention {
  /** @throws XError `argument` if an option is out of range */
  constructor(d: number, causal: boolean, options: AttentionModuleOptions = {}) {
    const { nFeatures = d, ...others } = options;
    super({ headDim: d, causal, nbFeatures: nFeatures, ...others });
  }
}
