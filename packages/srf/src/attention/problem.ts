/** What SRF attention is given, and what it gives, however it is computed. */

import type { Tensor } from "@x/tensor";
import type { SrfState, StateSizes } from "../state/srf-state.js";

/** What SRF attention computes with. */
export interface SrfProblem {
  /** [b, h, n, d] */
  readonly query: Tensor;
  /** [b, hk, m, d] */
  readonly key: Tensor;
  /** [b, hk, m, e] */
  readonly value: Tensor;
  /** Random vectors [F, d]. */
  readonly projection: Tensor;
  /** What queries and keys are multiplied by. */
  readonly scale: number;
  /** What is added to every feature. */
  readonly epsilon: number;
  /** Whether query i sees the keys up to i + m − n only; n is then at most m. */
  readonly causal: boolean;
  /** Bool [b, m]: true where a key takes part. */
  readonly keyMask: Tensor | null;
  /** What is known of earlier keys; `null` for nothing. */
  readonly state: SrfState | null;
}

/** The sizes of the state of a problem. */
export function stateSizes({ key, value, projection }: SrfProblem): StateSizes {
  const [batch, heads] = key.shape as [number, number];
  return { batch, heads, features: projection.shape[0]!, valueDim: value.shape[3]! };
}

/** The results of SRF attention. */
export interface SrfResult {
  /** [b, h, n, e] */
  readonly output: Tensor;
  /** After all keys. */
  readonly state: SrfState;
}
