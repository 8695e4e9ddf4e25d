/** Linear attention in which every query sees every key. */

import type { Tensor } from "@x/tensor";
import { checkHeads, checkKeyMask } from "../engine.js";

/** Options of {@link linearAttn}. */
export interface LinearAttnOptions {
  /** Bool [batch, keys]: true where a key takes part. Default: all do. */
  readonly kvMask?: Tensor | null;
}

/** Keys and values of which those that a mask hides have no weight and are 0. */
export function visible(op: string, k: Tensor, v: Tensor, kvMask: Tensor | null): [Tensor, Tensor] {
  if (kvMask === null) return [k, v];
  checkKeyMask(op, kvMask, [k.shape[0]!, k.shape[2]!]);
  const isVisible = kvMask.unsqueeze(1).unsqueeze(-1);
  // A finite number: where all keys are hidden, the weights stay numbers.
  return [k.where(isVisible, -1e30), v.where(isVisible, 0)];
}

/**
 * Linear attention: `y = d^(−1/2) · softmax_features(q) (softmax_positions(k)ᵀ v)`. The keys and
 * values become one d × e matrix a head, so time and memory grow linearly with the length.
 *
 * Without a key that takes part, the result is 0.
 *
 * @param q queries, [batch, heads, n, d]
 * @param k keys, [batch, keyHeads, m, d]; consecutive query heads share a key head
 * @param v values, [batch, keyHeads, m, e]
 * @returns [batch, heads, n, e]
 * @throws XError `shape` if the tensors or the mask do not fit each other
 * @example
 * ```ts
 * const [q, k, v] = [zeros([1, 1, 2, 4]), zeros([1, 1, 3, 4]), ones([1, 1, 3, 1])];
 * console.log(await linearAttn(q, k, v).squeeze().toArray()); // → [ 0.5, 0.5 ]
 * ```
 *
 * @see Shen et al.: Efficient Attention: Attention with Linear Complexities (2018)
 */
export function linearAttn(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: LinearAttnOptions = {},
): Tensor {
  const op = "linearAttn";
  checkHeads(op, q, k, v);
  const [key, value] = visible(op, k, v, options.kvMask ?? null);
  const context = key.softmax(-2).transpose(-1, -2).matmul(value);
  const [batch, heads, queries, size] = q.shape as [number, number, number, number];
  const keyHeads = k.shape[1]!;
  // Heads that share a key head become more rows of it.
  const rows = q.softmax(-1).reshape([batch, keyHeads, (heads / keyHeads) * queries, size]);
  const output = rows.mul(size ** -0.5).matmul(context);
  return output.reshape([batch, heads, queries, v.shape[3]!]);
}
