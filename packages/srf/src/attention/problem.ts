/** What SRF attention is given, and what it gives, however it is computed. */

import { emptyFeatureAttentionState, type Device, type Tensor } from "@x/tensor";
import type { SrfState } from "../state/srf-state.js";

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

/** The results of SRF attention. */
export interface SrfResult {
  /** [b, h, n, e] */
  readonly output: Tensor;
  /** After all keys. */
  readonly state: SrfState;
}

/** The state before the first key of a problem. */
export function startOf({ key, value, projection }: SrfProblem): SrfState {
  const [batch, keyHeads] = key.shape as [number, number];
  return emptyState({
    batch,
    keyHeads,
    features: projection.shape[0]!,
    valueSize: value.shape[3]!,
  });
}

/** A state without keys; in memory of a device, or else as constants. */
export function emptyState(
  sizes: Parameters<typeof emptyFeatureAttentionState>[0],
  device?: Device,
): SrfState {
  return { ...emptyFeatureAttentionState(sizes, device && { device }) };
}
