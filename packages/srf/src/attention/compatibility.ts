/** Where this package departs from the system that it re-creates. */

import { check } from "@x/tensor/checks";

/**
 * `"reference"` reproduces, for comparison with recorded results and for models trained that way, what
 * the original computes where that contradicts what is meant: the features of all keys share the
 * largest projection of all of them, later ones included. Since ε is added after it is
 * subtracted, a causal output then depends on keys that its query must not see.
 *
 * By default the maximum runs along with the keys, and nothing depends on later ones.
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
