/** What SRF attention remembers of the tokens so far. */

import { full, zeros, type Device, type Shape, type Tensor } from "@x/tensor";
import { check, formatShape, sameShape } from "@x/tensor/checks";
import type { AttentionState } from "@x/tensor/nn";

/**
 * What SRF attention remembers of the keys so far, of the same size however many they are: a plain
 * object of tensors, float32, that every step updates in place. With the exponents b_j of the
 * features of key j, and the largest projection M so far, a feature of the key is `exp(b_j − M) + ε`;
 * the sums of both parts are kept apart, so that nothing is lost when M grows.
 *
 * Save it as named tensors (`saveSafetensors`), go on from what `loadSafetensors` gives, as an
 * object; branch with `forkState` of `@x/tensor/nn`.
 */
export interface SrfState extends AttentionState {
  /** `Σ_j exp(b_j − M) v_jᵀ`, [batch, heads, F, e]. */
  readonly keyValues: Tensor;
  /** `Σ_j exp(b_j − M)`, the denominator, [batch, heads, F]. */
  readonly keys: Tensor;
  /** M, [batch, heads]; the lowest number before the first key. */
  readonly maximum: Tensor;
  /** `Σ_j v_j`, [batch, heads, e]. */
  readonly values: Tensor;
  /** How many keys there were, [batch, heads]. */
  readonly count: Tensor;
}

/** The sizes of a state. */
export interface StateSizes {
  readonly batch: number;
  readonly heads: number;
  readonly features: number;
  readonly valueDim: number;
}

/** The lowest number of float32: the maximum of no keys, whose exponential is 0. */
export const lowest = -3.4028234663852886e38;

/** The state before the first key; in memory of a device, or else as constants. */
export function emptyState(sizes: StateSizes, device?: Device): SrfState {
  const { keyValues, keys, maximum, values, count } = shapesOf(sizes);
  const options = device ? { device } : {};
  return {
    keyValues: zeros(keyValues, options),
    keys: zeros(keys, options),
    maximum: full(maximum, lowest, options),
    values: zeros(values, options),
    count: zeros(count, options),
  };
}

/** Checks that a state, which may have come from a file, has what a call needs. */
export function checkState(owner: string, state: AttentionState, sizes: StateSizes): SrfState {
  for (const [name, shape] of Object.entries(shapesOf(sizes))) {
    const found = state[name];
    check(
      found !== undefined,
      "argument",
      () =>
        `${owner}: a state has the tensors ${Object.keys(shapesOf(sizes)).join(", ")}, got ${Object.keys(state).join(", ") || "none"}. Make it with initState().`,
    );
    check(
      found.dtype === "float32" && sameShape(found.shape, shape),
      "shape",
      () =>
        `${owner}: ${name} of the state must be float32 ${formatShape(shape)}, got ${found.dtype} ${formatShape(found.shape)}. Make the state for these sizes with initState().`,
    );
  }
  // It has all of them, as was checked.
  return state as SrfState;
}

type Shapes = Readonly<Record<"keyValues" | "keys" | "maximum" | "values" | "count", Shape>>;

function shapesOf({ batch, heads, features, valueDim }: StateSizes): Shapes {
  return {
    keyValues: [batch, heads, features, valueDim],
    keys: [batch, heads, features],
    maximum: [batch, heads],
    values: [batch, heads, valueDim],
    count: [batch, heads],
  };
}
