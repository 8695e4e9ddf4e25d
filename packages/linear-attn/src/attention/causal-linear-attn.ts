/** Causal linear attention. */

import type { Tensor } from "@x/tensor";
import {
  arange,
  cat,
  checkHeads,
  checkNumbers,
  cumulativeLinearAttention,
  featureAttention,
  ones,
  positive,
} from "../engine.js";
import { checkCounts } from "../checks.js";
import { checkCompat, type Compatibility } from "../compatibility.js";
import { visible } from "./linear-attn.js";

/** Options of {@link causalLinearAttn}. */
export interface CausalLinearAttnOptions {
  /** Bool [batch, keys]: true where a key takes part. Default: all do. */
  readonly kvMask?: Tensor | null;
  /**
   * The blind spot: a query sees only the whole buckets of so many keys that lie before its own, and
   * nothing in the first bucket. Default 1: it sees all keys up to its own, which costs no more.
   */
  readonly bucketSize?: number;
  /** The least divisor, under `compat: "reference"` only. Default 1e-3. */
  readonly eps?: number;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

const op = "causalLinearAttn";

/**
 * Causal linear attention: a query reads the mean of the values that it sees, weighted by
 * `w_ij = softmax_features(q_i) · exp(k_j)`,
 *
 * `y_i = Σ_{j ≤ i} w_ij v_j / Σ_{j ≤ i} w_ij`,
 *
 * in time and memory that grow linearly with the length. Keys of any size are fine: exponentials are
 * taken below a running maximum. A query that sees no key gets 0. Of unequally many queries and keys
 * the last ones stand at the same place.
 *
 * @param q queries, [batch, heads, n, d]
 * @param k keys, [batch, keyHeads, m, d]; consecutive query heads share a key head
 * @param v values, [batch, keyHeads, m, e]
 * @returns [batch, heads, n, e]
 * @throws XError `shape` if the tensors or the mask do not fit each other, `argument` if a number is
 * out of range
 * @example
 * ```ts
 * const [q, k, v] = [zeros([1, 1, 3, 4]), zeros([1, 1, 3, 4]), tensor([[[[1], [3], [5]]]])];
 * console.log(await causalLinearAttn(q, k, v).squeeze().toArray()); // → [ 1, 2, 3 ]
 * ```
 *
 * @see Katharopoulos et al.: Transformers are RNNs (2020)
 */
export function causalLinearAttn(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: CausalLinearAttnOptions = {},
): Tensor {
  const { kvMask = null, bucketSize = 1, eps = 1e-3 } = options;
  checkHeads(op, q, k, v);
  checkCounts(op, { bucketSize });
  checkNumbers(op, positive, { eps });
  const visibility =
    bucketSize === 1 ? { causal: true } : { mask: lastOfBuckets(q, k, bucketSize) };
  if (checkCompat(op, options.compat) === null) {
    const keyMask = kvMask && { keyMask: kvMask };
    return featureAttention(q, k, v, { features: "exponential", ...visibility, ...keyMask }).output;
  }
  const [key, value] = visible(op, k, v, kvMask);
  const withOnes = cat([value, ones([...v.shape.slice(0, 3), 1])], -1);
  const queries = q.softmax(-1).mul(q.shape[3]! ** -0.5);
  const sums = cumulativeLinearAttention(queries, key.exp(), withOnes, visibility).output;
  const size = v.shape[3]!;
  return sums.narrow(-1, 0, size).div(sums.narrow(-1, size, 1).clamp(eps));
}

/** The last key of the bucket before that of each query; −1 for none. */
function lastOfBuckets(q: Tensor, k: Tensor, bucketSize: number): Tensor {
  const [queries, keys] = [q.shape[2]!, k.shape[2]!];
  const place = arange(queries, { dtype: "int32" }).add(keys - queries);
  return place.floorDivide(bucketSize).mul(bucketSize).sub(1).maximum(-1);
}

/**
 * Causal linear attention as in the version of the original that had one key head: each feature of
 * the keys is divided by its own sum, and a query sees the whole buckets before its own, also where
 * they hold one key.
 */
export function featurewiseCausalLinearAttn(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { kvMask, bucketSize }: { kvMask: Tensor | null; bucketSize: number },
): Tensor {
  const [key, value] = visible(op, k, v, kvMask);
  const features = key.exp();
  const mask = lastOfBuckets(q, k, bucketSize);
  const sums = features.cumsum(-2).pad([0, 0, 1, 0]).indexSelect(-2, mask.add(1));
  const queries = q
    .softmax(-1)
    .mul(q.shape[3]! ** -0.5)
    .div(sums.add(1e-6));
  return cumulativeLinearAttention(queries, features, value, { mask }).output;
}
