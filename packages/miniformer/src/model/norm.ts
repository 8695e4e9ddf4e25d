/** The norms of a model. */

import { LayerNorm, RMSNorm } from "@x/tensor/nn";

/** Which norm, and what is added to the variance or mean square. */
export interface NormOptions {
  /** The kind of norm. */
  readonly norm: "layer" | "rms";
  /** Added to the variance or mean square. */
  readonly layerNormEps: number;
}

/** A norm of the last axis, which has `size` elements. */
export function makeNorm(
  size: number,
  { norm, layerNormEps: eps }: NormOptions,
): LayerNorm | RMSNorm {
  return norm === "rms" ? new RMSNorm(size, { eps }) : new LayerNorm(size, { eps });
}
