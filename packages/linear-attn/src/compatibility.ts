/** Where this package departs from the system that it re-creates. */

import { checkChoice } from "./engine.js";

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
 * - in attention over images, keys of the context are not scaled, and the context is one row;
 * - the transformer gives `ffGlu` and `ffDropout` only to the feed-forward parts after axial and
 *   context attention, ignores `pkmNumKeys`, shifts padding into tokens, and leaves axial rows out of
 *   what lengths are padded to;
 * - `topK` may keep no token, and `topP` keeps those that reach `1 − thres`;
 * - generation of several sequences ends only when all draw the stop token in the same step, and uses
 *   no state: every token is computed from the whole window.
 *
 * By default none of this holds.
 */
export type Compatibility = "reference";

/** The option `compat`, checked, since it may come from untyped code; `undefined` is off, as `null`. */
export function checkCompat(op: string, compat: Compatibility | null = null): Compatibility | null {
  if (compat !== null) checkChoice(op, "compat", compat, ["reference"]);
  return compat;
}
