/** Attention whose scores are products of features. */

import { cat, cumulativeLinearAttention, ones, type Tensor } from "@x/tensor";
import { checkHeads, checkNumbers, finite } from "@x/tensor/checks";

/** Options of {@link lowMemAttn}. */
export interface LowMemAttnOptions {
  /** Factor of the scores. It cancels, in gradients too. Default 1 / √d. */
  readonly smScale?: number | null;
  /** Whether query i sees keys up to i + m − n only: the last sees all. Default true. */
  readonly causal?: boolean;
}

/**
 * Exact attention with products of positive features as scores: `y_i = Σ_j s_ij v_j / Σ_j s_ij` with
 * `s_ij = smScale · q_i·k_j`.
 *
 * The original computes the scores of a chunk of queries at a time, and again in the backward pass.
 * Here none are computed: since `Σ_j (q_i·k_j) v_j = q_i Σ_j k_j v_jᵀ`, time and memory are linear in
 * the length, and there is no chunk size to choose. A query whose scores add up to 0 gets 0.
 *
 * @param query features [b, h, n, d]
 * @param key features [b, hk, m, d], where h is a multiple of hk
 * @param value [b, hk, m, e]
 * @throws XError `shape` if the tensors do not fit each other, `argument` if the factor is not finite
 * or a causal call has more queries than keys
 * @example
 * ```ts
 * const [q, k] = [tensor([[[[1, 1], [1, 1]]]]), tensor([[[[1, 0], [2, 1]]]])];
 * const v = tensor([[[[0], [4]]]]);
 * console.log(await lowMemAttn(q, k, v).flatten().toArray()); // → [ 0, 3 ]
 * ```
 */
export function lowMemAttn(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: LowMemAttnOptions = {},
): Tensor {
  const { causal = true } = options;
  checkHeads("lowMemAttn", query, key, value);
  const smScale = options.smScale ?? query.shape[3]! ** -0.5;
  checkNumbers("lowMemAttn", finite, { smScale });
  const size = value.shape[3]!;
  // A column of ones adds up the scores.
  const withOnes = cat([value, ones(value.shape.with(3, 1))], 3);
  const { output } = cumulativeLinearAttention(query, key, withOnes, { causal, scale: smScale });
  const sums = output.narrow(3, size, 1);
  const isEmpty = sums.eq(0);
  return output.narrow(3, 0, size).div(sums.maskedFill(isEmpty, 1)).maskedFill(isEmpty, 0);
}
