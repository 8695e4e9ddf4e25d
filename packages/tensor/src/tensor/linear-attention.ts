/** Cumulative linear attention on tensors. */

import { check } from "../error.js";
import {
  checkMask,
  cumulativeLinearAttention as linearAttention,
} from "../ops/linear-attention.js";
import { peek } from "./peek.js";
import { Tensor } from "./tensor.js";

/** Options of `cumulativeLinearAttention`. */
export interface CumulativeLinearAttentionOptions {
  /** Whether query i sees the keys up to i + m − n only: the last query stands at the last key. */
  readonly causal?: boolean;
  /**
   * The last key that each query sees: integers of shape [n], in any order, from −1 (none) to
   * m − 1. Not together with `causal`.
   */
  readonly mask?: Tensor;
  /** Key-value products to start from: [..., h or hk, d, e]. */
  readonly state?: Tensor;
  /** Factor of the output; default 1. */
  readonly scale?: number;
}

/** The results of `cumulativeLinearAttention`. */
export interface CumulativeLinearAttentionResult {
  /** [..., h, n, e] */
  readonly output: Tensor;
  /**
   * The sum of all key-value products, with those of the given state:
   * `state + Σ_j k_j v_jᵀ`, [..., hk, d, e], or with the heads of the given state.
   */
  readonly state: Tensor;
}

/**
 * Linear attention without normalisation, in which each query reads the products of the keys it
 * sees with their values: `y_i = scale · q_i (state + Σ_{j ≤ last_i} k_j v_jᵀ)`.
 *
 * Time and memory grow linearly with the lengths, whatever the mask. Without `causal` and `mask`
 * every query sees every key. Fewer key heads than query heads are shared: query head i reads key
 * head i / (h / hk). The head axis may be missing.
 *
 * @param q queries, [..., h, n, d]
 * @param k keys, [..., hk, m, d]
 * @param v values, [..., hk, m, e]
 * @throws XError `shape` or `dtype` if the tensors do not fit; `argument` for a mask together with
 * `causal`, a scale that is not finite, or a mask whose numbers are at hand and out of range
 * @example
 * ```ts
 * import { cumulativeLinearAttention, tensor } from "@x/tensor";
 *
 * const [q, k, v] = [tensor([[1], [1], [1]]), tensor([[1], [2], [3]]), tensor([[1], [1], [10]])];
 * const { output, state } = cumulativeLinearAttention(q, k, v, { causal: true });
 * console.log(await output.toArray()); // → [ [ 1 ], [ 3 ], [ 33 ] ]
 * console.log(await state.toArray()); // → [ [ 33 ] ]
 * ```
 */
export function cumulativeLinearAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: CumulativeLinearAttentionOptions = {},
): CumulativeLinearAttentionResult {
  const { causal = false, mask, state, scale = 1 } = options;
  const results = linearAttention(q.value, k.value, v.value, {
    causal,
    mask: mask?.value ?? null,
    state: state?.value ?? null,
    scale,
  });
  if (mask) checkLastKeys("cumulativeLinearAttention", mask, q.shape.at(-2)!, k.shape.at(-2)!);
  return { output: new Tensor(results.output), state: new Tensor(results.state) };
}

/** Checks that a mask has an integer for each query and, where its numbers are at hand, their range. */
export function checkLastKeys(name: string, mask: Tensor, queries: number, keys: number): void {
  checkMask(name, mask, queries);
  const wrong = peek(mask)?.find((last) => last < -1 || last >= keys);
  check(
    wrong === undefined,
    "argument",
    () =>
      `${name}: a mask names the last visible of ${keys} keys, −1 to ${keys - 1}, got ${wrong}. Correct the mask.`,
  );
}
