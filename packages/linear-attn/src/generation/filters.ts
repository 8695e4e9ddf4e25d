/** Which tokens may be drawn. */

import type { Tensor } from "@x/tensor";
import { checkNumbers, fullLike, probability } from "../engine.js";
import { checkAxes } from "../checks.js";
import { checkCompat, type Compatibility } from "../compatibility.js";

/** Options of {@link topK} and {@link topP}. */
export interface FilterOptions {
  /** How much is cut away (`topK`) or kept (`topP`), from 0 to 1. Default 0.9. */
  readonly thres?: number;
  /** Reproduces the original; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** Gives logits [batch, numTokens] with −∞ for what may not be drawn. */
export type FilterLogits = (logits: Tensor, options?: FilterOptions) => Tensor;

/**
 * Keeps the `⌊(1 − thres) · numTokens⌋` largest logits of each row, at least one, and makes the others
 * −∞. With `compat: "reference"` it may be none.
 *
 * @param logits [batch, numTokens]
 * @throws XError `argument` if `thres` is not between 0 and 1; `shape` if the logits have other axes
 * @example
 * ```ts
 * const logits = tensor([[1, 4, 3, 2]]);
 * console.log(await topK(logits, { thres: 0.5 }).toArray()); // → [ [ -Infinity, 4, 3, -Infinity ] ]
 * ```
 */
export function topK(logits: Tensor, options: FilterOptions = {}): Tensor {
  const { thres = 0.9, compat = null } = options;
  checkLogits("topK", logits, thres);
  const classes = logits.shape[1]!;
  const k = Math.floor((1 - thres) * classes);
  const nothing = fullLike(logits, -Infinity);
  if (k === 0 && checkCompat("topK", compat) !== null) return nothing;
  const { values, indices } = logits.topk(Math.max(k, 1));
  return nothing.scatter(-1, indices, values);
}

/**
 * Keeps the largest logits of each row whose probabilities together reach `thres`, at least one, and
 * makes the others −∞. With `compat: "reference"` they reach `1 − thres`, as in the original.
 *
 * @param logits [batch, numTokens]
 * @throws XError `argument` if `thres` is not between 0 and 1; `shape` if the logits have other axes
 * @example
 * ```ts
 * const logits = tensor([[0.5, 0.3, 0.2]]).log();
 * const kept = topP(logits, { thres: 0.7 }).exp();
 * console.log((await kept.data()).map((p) => Math.round(p * 10))); // → Float32Array(3) [ 5, 3, 0 ]
 * ```
 *
 * @see Holtzman et al.: The Curious Case of Neural Text Degeneration (2020)
 */
export function topP(logits: Tensor, options: FilterOptions = {}): Tensor {
  const { thres = 0.9, compat = null } = options;
  checkLogits("topP", logits, thres);
  const mass = checkCompat("topP", compat) === null ? thres : 1 - thres;
  const sorted = logits.sort(-1, { descending: true });
  // The mass before each token: the first is always kept, and so is the one that reaches `mass`.
  const reached = sorted.values.softmax(-1).cumsum(-1);
  const before = reached.narrow(-1, 0, logits.shape[1]! - 1).pad([1, 0]);
  const kept = sorted.values.maskedFill(before.gt(mass), -Infinity);
  return logits.scatter(-1, sorted.indices, kept);
}

function checkLogits(op: string, logits: Tensor, thres: number): void {
  checkNumbers(op, probability, { thres });
  checkAxes(op, "logits", logits, ["batch", "numTokens"]);
}
