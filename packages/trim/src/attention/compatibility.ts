/** Where this package departs from the system that it re-creates. */

import { check } from "@x/tensor/checks";

/**
 * `"reference"` reproduces, for comparison with recorded results and for checkpoints trained that
 * way, what the original computes where that contradicts what is meant:
 *
 * - the store of key-value products is always made for every query (`[..., n, d, e]`);
 * - the state after a call is the store of its last query, so keys that a mask hides from the last
 *   query are lost;
 * - dropout falls on the store, and the store with its holes is what is cached;
 * - padded keys are set to 0 before `normK`, whose bias brings them back;
 * - positional embeddings start at 0 in every call.
 *
 * By default none of this holds.
 */
export type Compatibility = "reference";

/** Checks a `compat` option that may come from untyped code; `null` and `undefined` are off. */
export function isReference(op: string, compat: Compatibility | null | undefined): boolean {
  check(
    compat === undefined || compat === null || compat === "reference",
    "argument",
    () => `${op}: compat must be "reference" or left out, got ${String(compat)}. Leave it out.`,
  );
  return compat === "reference";
}
