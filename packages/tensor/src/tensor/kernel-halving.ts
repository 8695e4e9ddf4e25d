/** Kernel halving on tensors. */

import * as halving from "../ops/kernel-halving.js";
import { ones } from "./creation.js";
import { Tensor } from "./tensor.js";

/** Options of `kernelHalving`. */
export interface KernelHalvingOptions {
  /** Entries of a bucket in the first round, an even number; each round takes twice as many. */
  readonly bucket: number;
  /** How many rounds, at least 1. */
  readonly rounds: number;
  /** What is added to the products of values, one a bucket: [b, h, buckets]. */
  readonly offsets: Tensor;
  /**
   * Random numbers, one a pair: [b, h, entries]. The first of a bucket inverts the choices of the
   * bucket where it is negative; the others are evenly distributed between −m and m.
   */
  readonly draws: Tensor;
  /** Above 0 where a key takes part, [b, n]. Default: all do. */
  readonly weights?: Tensor | null;
}

/**
 * The rounds of KH-Compress: each cuts its entries into buckets, and of each two neighbours in a
 * bucket keeps one, such that sums of the kernel
 *
 * `K(x, y) = exp(k_x · k_y) (v_x · v_y + offset)`
 *
 * over what is kept are close to half of those over the bucket. The first round halves the positions
 * 0 … n − 1 in buckets of `bucket`; each later one halves what the one before it kept, in buckets
 * twice as large, so that four buckets become one. Entries that do not fill a bucket are left out.
 *
 * In a bucket with the pairs (a_i, z_i), `d_ij = K(a_i, a_j) − K(z_i, a_j) − K(a_i, z_j) + K(z_i, z_j)`
 * and `r_i = √max(d_ii, 0)`, pair i > 0 is swapped where
 * `draw_i · r_i · max_{j ≤ i} r_j ≤ Σ_{j < i} e_j d_ij`, with e_j = −1 for the swapped and 1 for the
 * others; z_i is kept of the swapped, a_i of the others, or the other way round where the bucket's
 * first draw is negative. Where one of a pair does not take part, the other is kept, and the pair has
 * no influence on others.
 *
 * No gradient flows through the choice.
 *
 * @param key [b, h, n, d]
 * @param value [b, h, n, e]
 * @returns for each round the positions that it keeps, one round after the other; int32
 * [b, h, entries]
 * @throws XError `shape` if the tensors do not fit each other; `argument` if buckets are not even, or
 * so few keys are given that the last round has no bucket
 * @example
 * ```ts
 * import { kernelHalving, ones, tensor } from "@x/tensor";
 *
 * const key = tensor([0, 0.1, 5, 5.1, 0.1, 0, 5.1, 5]).reshape([1, 1, 8, 1]);
 * const kept = kernelHalving(key, ones([1, 1, 8, 1]), {
 *   bucket: 8,
 *   rounds: 1,
 *   offsets: ones([1, 1, 1]),
 *   draws: tensor([[[1, 1e-3, 1e-3, 1e-3]]]),
 * });
 * console.log(await kept.toArray()); // → [ [ [ 0, 2, 4, 7 ] ] ]
 * ```
 *
 * @see Dwivedi, Mackey: Generalized Kernel Thinning (2022); Shetty, Dwivedi, Mackey: Distribution
 * Compression in Near-linear Time (2022); Gong et al.: Low-Rank Thinning (2025)
 */
export function kernelHalving(key: Tensor, value: Tensor, options: KernelHalvingOptions): Tensor {
  const { bucket, rounds, offsets, draws } = options;
  const weights = options.weights ?? ones([key.shape[0] ?? 1, key.shape[2] ?? 1]);
  const result = halving.kernelHalving(key.value, value.value, {
    weights: weights.value,
    offsets: offsets.value,
    draws: draws.value,
    bucket,
    rounds,
  });
  return new Tensor(result);
}
