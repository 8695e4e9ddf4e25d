/** Where this package departs from the system that it re-creates. */

import { checkChoice } from "@x/tensor/checks";

/**
 * `"reference"` reproduces, for comparison with recorded results and for checkpoints trained that
 * way, what the original computes where that contradicts what is meant:
 *
 * - causal linear attention takes `exp(k)` without a maximum, which overflows for large keys, and
 *   divides by at least `eps`; with one key head it divides each feature by itself and never lets a
 *   query see its own key, as the version that had the option;
 * - in local attention, a query whose keys are all masked takes the mean over its whole window, the
 *   padding included, and padding by `autopad` is seen where it is not masked;
 * - Linformer ignores masks;
 * - in attention over images, keys of the context are not scaled, and the context is one row.
 *
 * By default none of this holds.
 */
export type Compatibility = "reference";

/** Checks a `compat` option that may come from untyped code; `null` and `undefined` are off. */
export function isReference(op: string, compat: Compatibility | null | undefined): boolean {
  if (compat === undefined || compat === null) return false;
  checkChoice(op, "compat", compat, ["reference"]);
  return true;
}
