/** What SRF attention remembers of the tokens so far. */

import type { FeatureAttentionState } from "@x/tensor";
import { check } from "@x/tensor/checks";
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
export interface SrfState extends FeatureAttentionState, AttentionState {}

const parts = ["keyValues", "keys", "maximum", "values", "count"];

/** Checks that a state, which may have come from a file, has its parts; shapes are checked in use. */
export function checkState(owner: string, state: AttentionState): void {
  for (const name of parts) {
    const part = state[name];
    check(
      part?.dtype === "float32",
      "argument",
      () =>
        `${owner}: a state has the float32 tensors ${parts.join(", ")}, got ${part ? `${part.dtype} ${name}` : `no ${name}`}. Make it with initState().`,
    );
  }
}
