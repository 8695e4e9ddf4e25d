/** What is remembered of the tokens so far. */

import { fromData, zeros, type Device, type Shape, type Tensor } from "@x/tensor";
import { check, formatShape, sameShape } from "@x/tensor/checks";
import type { AttentionState } from "@x/tensor/nn";

/**
 * What a model remembers of the tokens so far, of the same size however many they are: a plain
 * object of tensors that every call updates in place.
 *
 * That of an attention or a layer has `store`, the sum of the key-value products, float32
 * [batch, heads, d, d]. That of an encoder has `layers.0.store`, `layers.1.store` and so on.
 *
 * Save it as named tensors (`saveSafetensors`), go on from what `loadSafetensors` gives, as an
 * object; branch with `forkState` of `@x/tensor/nn`.
 */
export interface CumulativeState extends AttentionState {
  /** How many tokens were seen, padding included; int32 []. */
  readonly position: Tensor;
}

/** What an attention or a layer remembers. */
export interface AttentionMemory extends CumulativeState {
  /** The sum of the key-value products, [batch, heads, d, e]. */
  readonly store: Tensor;
}

/** The position before the first token. */
export function startPosition(device: Device): Tensor {
  return fromData(new Int32Array(1), [], { device });
}

/** A memory of nothing. */
export function emptyMemory(shape: Shape, device: Device): AttentionMemory {
  return { store: zeros(shape, { device }), position: startPosition(device) };
}

/** Checks that a state, which may have come from a file, has what a call needs. */
export function checkMemory(owner: string, state: CumulativeState, shape: Shape): AttentionMemory {
  const { store, position } = state as Partial<AttentionMemory>;
  check(
    store !== undefined && position !== undefined,
    "argument",
    () =>
      `${owner}: a state has the tensors store and position, got ${Object.keys(state).join(", ") || "none"}. Make it with initState().`,
  );
  check(
    store.dtype === "float32" && sameShape(store.shape, shape),
    "shape",
    () =>
      `${owner}: the store of the state must be float32 ${formatShape(shape)}, got ${store.dtype} ${formatShape(store.shape)}. Make the state for this batch with initState().`,
  );
  check(
    position.dtype === "int32" && position.rank === 0,
    "shape",
    () =>
      `${owner}: the position of the state must be int32 [], got ${position.dtype} ${formatShape(position.shape)}. Make the state with initState().`,
  );
  return { store, position };
}
