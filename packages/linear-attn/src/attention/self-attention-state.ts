/** What self-attention remembers of the tokens so far. */

import { fromData, zeros, type Device, type Shape, type Tensor } from "@x/tensor";
import { check, formatShape, sameShape } from "@x/tensor/checks";
import type { AttentionState } from "@x/tensor/nn";
import type { Ring } from "../local/ring.js";
import { emptySums, sumNames, type LinearMemory } from "./linear-memory.js";

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
  const { batch, dimHead, globalKeyHeads } = sizes;
  const state: Record<string, Tensor> = {};
  if (globalKeyHeads > 0)
    Object.assign(state, emptySums(batch, globalKeyHeads, dimHead, dimHead, device));
  for (const [name, shape, dtype] of keptTensors(sizes)) {
    state[name] = zeros(shape, { dtype, device });
  }
  return { ...state, position: fromData(new Int32Array(1), [], { device }) };
}

/** The names, shapes and types of keys and values that are kept as they are. */
function keptTensors(sizes: StateSizes): [string, Shape, "float32" | "bool"][] {
  const { batch, dimHead, globalKeyHeads, localKeyHeads, blindspotSize, places, masked } = sizes;
  const tensors: [string, Shape, "float32" | "bool"][] = [];
  const keep = (name: string, heads: number, length: number): void => {
    for (const part of ["Keys", "Values"]) {
      tensors.push([name + part, [batch, heads, length, dimHead], "float32"]);
    }
    if (masked) tensors.push([`${name}Mask`, [batch, length], "bool"]);
  };
  if (globalKeyHeads > 0 && blindspotSize > 1) keep("bucket", globalKeyHeads, blindspotSize);
  if (localKeyHeads > 0) keep("local", localKeyHeads, places);
  return tensors;
}

/** Checks that a state, which may have come from a file, is what `emptyState` gives. */
export function checkState(op: string, state: SelfAttentionState, sizes: StateSizes): void {
  const { batch, dimHead, globalKeyHeads } = sizes;
  const expected: [string, Shape, string][] = [["position", [], "int32"], ...keptTensors(sizes)];
  if (globalKeyHeads > 0) {
    const head = [batch, globalKeyHeads];
    const shapes = [
      [...head, dimHead, dimHead],
      [...head, dimHead],
      head,
      [...head, dimHead],
      head,
    ];
    sumNames.forEach((name, i) => expected.push([name, shapes[i]!, "float32"]));
  }
  for (const [name, shape, dtype] of expected) {
    const tensor = (state as Readonly<Record<string, Tensor | undefined>>)[name];
    check(
      tensor !== undefined && sameShape(tensor.shape, shape) && tensor.dtype === dtype,
      "shape",
      () =>
        `${op}: the state must have a tensor ${name}, ${dtype} ${formatShape(shape)}, got ${tensor === undefined ? "none" : `${tensor.dtype} ${formatShape(tensor.shape)}`}. Make it with initState() for this batch; pass masked: true if masks come with it.`,
    );
  }
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
