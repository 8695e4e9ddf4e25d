/** Halving by a kernel matrix that is at hand. */

import { arange, stack, where, type Tensor } from "@x/tensor";
import { check, checkNumbers, formatShape, positive } from "@x/tensor/checks";
import { logMultiplier, roundDraws, type HalvingDraws, type RandomnessOptions } from "./draws.js";

/** Options of {@link halveK}. */
export interface HalveKOptions extends RandomnessOptions {
  /** The probability with which halving may fail, above 0. Default 0.5. */
  readonly delta?: number;
  /** Whether the half that is kept, or the other one, is given. Default false. */
  readonly symmetrize?: boolean;
  /** Random numbers in place of those of the generator. */
  readonly draws?: HalvingDraws | null;
}

/**
 * Kernel halving: of each two neighbours, one, such that sums of the kernel over what is chosen are
 * close to half of those over all.
 *
 * With `d_ij = K[2i, 2j] − K[2i+1, 2j] − K[2i, 2j+1] + K[2i+1, 2j+1]` and `r_i = √max(d_ii, 0)`, pair
 * i > 0 is swapped where `u_i · r_i · max_{j ≤ i} r_j ≤ Σ_{j < i} e_j d_ij`, where u_i is evenly
 * distributed between ±(½ + ln(2 S / delta)), and e_j is −1 for swapped pairs and 1 for others. Entry
 * 2i + 1 of the swapped pairs is chosen, 2i of the others; with `symmetrize` the other way round for
 * half of all matrices.
 *
 * Takes the matrix as it is, with S / 2 steps that depend on each other; {@link halve} and
 * {@link khCompress} never make a matrix and are far faster.
 *
 * @param kernel [batch, buckets, heads, S, S], S even
 * @returns int32 [batch, buckets, heads, S / 2], positions in 0 … S − 1
 * @throws XError `shape` if there is no such matrix; `argument` if delta is not above 0
 * @example
 * ```ts
 * const kernel = eye(4).reshape([1, 1, 1, 4, 4]);
 * const chosen = halveK(kernel, { generator: new Generator(1) });
 * console.log(chosen.shape, await chosen.select(3, 0).item()); // → [ 1, 1, 1, 2 ] 0
 * ```
 *
 * @see Dwivedi, Mackey: Generalized Kernel Thinning (2022)
 */
export function halveK(kernel: Tensor, options: HalveKOptions = {}): Tensor {
  const { delta = 0.5, symmetrize = false } = options;
  const [batch, buckets, heads, size, columns] = kernel.shape as number[];
  check(
    kernel.rank === 5 && size === columns && size! > 0 && size! % 2 === 0,
    "shape",
    () =>
      `halveK: the kernel must have the shape [batch, buckets, heads, S, S] with an even S, got ${formatShape(kernel.shape)}. Reshape it.`,
  );
  checkNumbers("halveK", positive, { delta });
  const pairs = size! / 2;
  const sizes = { batch: batch!, heads: heads!, buckets: buckets!, pairs };
  const draws = roundDraws("halveK", sizes, logMultiplier(size!, delta), { ...options, symmetrize })
    .reshape([batch!, heads!, buckets!, pairs])
    .permute([0, 2, 1, 3]);
  const apart = kernel.reshape([batch!, buckets!, heads!, pairs, 2, pairs, 2]);
  const sign = arange(2).mul(-2).add(1);
  const differences = apart.mul(sign).sum(-1).mul(sign.unsqueeze(-1)).sum(4);
  const radius = differences.diagonal(0, 3, 4).relu().sqrt();
  const thresholds = draws.mul(radius).mul(radius.cummax(-1).values);

  let sums = differences.select(3, 0);
  const swaps = [sums.select(3, 0).ne(sums.select(3, 0))];
  for (let i = 1; i < pairs; i++) {
    const isSwapped = thresholds.select(3, i).le(sums.select(3, i));
    const sign = where(isSwapped, -1, 1).unsqueeze(-1);
    sums = sums.add(differences.select(3, i).mul(sign));
    swaps.push(isSwapped);
  }
  const isInverted = draws.select(3, 0).lt(0).unsqueeze(-1);
  const chosen = stack(swaps, 3).logicalXor(isInverted).cast("int32");
  return chosen.add(arange(pairs, { dtype: "int32" }).mul(2));
}
