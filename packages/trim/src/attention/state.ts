/** What attention remembers of the tokens so far. */

import { fromData, getDevice, type Device } from "@x/tensor";
import type { Tensor } from "@x/tensor";

/**
 * The memory of one attention: the sum of the key-value products of all tokens seen, and how many
 * there were. Its size does not depend on their number. Calls update it in place; save it as any
 * named tensors, and copy it with `forkState` of `@x/tensor/nn` to go on in two ways.
 */
export interface CumulativeState extends Readonly<Record<string, Tensor>> {
  /** Σ_j k_j v_jᵀ, [batch, heads, d, e]. */
  readonly store: Tensor;
  /** Tokens seen, int32 []. */
  readonly position: Tensor;
}

/** For what a state is made. */
export interface CumulativeStateShape {
  readonly batch: number;
  readonly heads: number;
  /** Size of queries and keys. */
  readonly headDim: number;
  /** Size of values. Default: `headDim`. */
  readonly valueDim?: number;
  /** Where it lives; the current device unless given. */
  readonly device?: Device;
}

/** The state before the first token. */
export function emptyState(shape: CumulativeStateShape): CumulativeState {
  const { batch, heads, headDim, valueDim = headDim, device = getDevice() } = shape;
  const sizes = [batch, heads, headDim, valueDim];
  return {
    store: fromData(new Float32Array(sizes.reduce((a, b) => a * b, 1)), sizes, { device }),
    position: fromData(new Int32Array(1), [], { device }),
  };
}

/** Overwrites a state: `store` and `position` are computed from what it held before. */
export function updateState(state: CumulativeState, store: Tensor, position: Tensor): void {
  state.store.assign(store.detach());
  state.position.assign(position);
}
