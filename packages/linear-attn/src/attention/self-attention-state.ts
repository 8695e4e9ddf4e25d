/** What self-attention remembers of the tokens so far. */

import { zeros, type Device, type Tensor } from "@x/tensor";
import type { AttentionState } from "@x/tensor/nn";
import type { Ring } from "../local/ring.js";
import { startPosition } from "../state.js";
import { emptySums, type LinearMemory } from "./linear-memory.js";

/**
 * What self-attention remembers of the tokens so far, of the same size however many they are: a
 * plain object of tensors that every call updates in place.
 *
 * Global heads have `keyValues`, `keys`, `maximum`, `values` and `count`, the state of
 * `featureAttention`, and with a blind spot `bucketKeys` and `bucketValues`; local heads have
 * `localKeys` and `localValues`. A state for masks has `bucketMask` and `localMask` too.
 *
 * Save it as named tensors (`saveSafetensors`), go on from what `loadSafetensors` gives, as an
 * object; branch with `forkState` of `@x/tensor/nn`.
 */
export interface SelfAttentionState extends AttentionState {
  /** How many tokens were seen, padding included; int32 []. */
  readonly position: Tensor;
}

/** The sizes of a module's state. */
export interface StateSizes {
  readonly batch: number;
  readonly dimHead: number;
  readonly globalKeyHeads: number;
  readonly localKeyHeads: number;
  readonly blindspotSize: number;
  /** How many keys local heads remember. */
  readonly places: number;
  readonly masked: boolean;
}

/** The state before the first token. */
export function emptyState(sizes: StateSizes, device: Device): SelfAttentionState {
  const { batch, dimHead, globalKeyHeads, localKeyHeads, blindspotSize, places, masked } = sizes;
  const kept = (name: string, heads: number, length: number): Record<string, Tensor> => ({
    [`${name}Keys`]: zeros([batch, heads, length, dimHead], { device }),
    [`${name}Values`]: zeros([batch, heads, length, dimHead], { device }),
    ...(masked && { [`${name}Mask`]: zeros([batch, length], { dtype: "bool", device }) }),
  });
  return {
    position: startPosition(device),
    ...(globalKeyHeads > 0 && emptySums(batch, globalKeyHeads, dimHead, dimHead, device)),
    ...(globalKeyHeads > 0 && blindspotSize > 1 && kept("bucket", globalKeyHeads, blindspotSize)),
    ...(localKeyHeads > 0 && kept("local", localKeyHeads, places)),
  };
}

/** The part of the global heads. */
export function linearMemory(state: SelfAttentionState): LinearMemory {
  const { keyValues, keys, maximum, values, count, position } = state as Required<State>;
  const { bucketKeys, bucketValues, bucketMask = null } = state as State;
  return {
    sums: { keyValues, keys, maximum, values, count },
    bucket:
      bucketKeys && bucketValues
        ? { keys: bucketKeys, values: bucketValues, mask: bucketMask }
        : null,
    position,
  };
}

/** The part of the local heads. */
export function localRing(state: SelfAttentionState): Ring {
  const { localKeys, localValues, position } = state as Required<State>;
  const { localMask = null } = state as State;
  return { keys: localKeys, values: localValues, mask: localMask, position };
}

/** What a state may have, by name. */
interface State extends SelfAttentionState {
  readonly keyValues: Tensor;
  readonly keys: Tensor;
  readonly maximum: Tensor;
  readonly values: Tensor;
  readonly count: Tensor;
  readonly bucketKeys?: Tensor;
  readonly bucketValues?: Tensor;
  readonly bucketMask?: Tensor;
  readonly localKeys?: Tensor;
  readonly localValues?: Tensor;
  readonly localMask?: Tensor;
}
