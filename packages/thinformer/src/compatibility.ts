/** Where this package departs from the system that it re-creates. */

import { check } from "@x/tensor/checks";

/**
 * `"reference"` reproduces, for comparison with recorded results, what the original computes where
 * that contradicts what is meant: one random bit inverts the choices of all batches, heads and buckets
 * of a round together, where by default every halving problem has a bit of its own.
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
