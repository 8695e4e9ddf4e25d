/** Halving keys and values by the weighted exponential kernel. */

import { kernelHalving, type Tensor } from "@x/tensor";
import { check, checkNumbers, formatShape, positive } from "@x/tensor/checks";
import { logMultiplier, roundDraws, type HalvingDraws, type RandomnessOptions } from "./draws.js";
import { checkBuckets } from "./exp-kernel.js";

/** Options of {@link halve}. */
export interface HalveOptions extends RandomnessOptions {
  /** Whether the half that is kept, or the other one, is given. Default true. */
  readonly symmetrize?: boolean;
  /** Random numbers in place of those of the generator. */
  readonly draws?: HalvingDraws | null;
}

/** The results of {@link halve}. */
export interface HalveResult {
  /** The keys that were chosen, [batch, buckets, S / 2, heads, E]. */
  readonly key: Tensor;
  /** Their values, [batch, buckets, S / 2, heads, D]. */
  readonly value: Tensor;
  /** Their positions in their bucket, as {@link halveK} gives them; int32 [batch, buckets, heads, S / 2]. */
  readonly coreset: Tensor;
}

/**
 * Half of the keys of every bucket and head, with their values: {@link halveK} of
 * {@link expKernel}, with `delta = halveProb · S²`, without ever making the matrix. Gradients flow
 * through what was chosen.
 *
 * @param key [batch, buckets, S, heads, E], scaled already; S even
 * @param value [batch, buckets, S, heads, D]
 * @param shift [batch, 1, heads, 1, 1], the shift of `expKernel`. The choice does not depend on it:
 * every bucket is shifted by its own largest norm, which is numerically better
 * @param bSqd [batch, 1, heads, 1, 1], what is added to the products of values
 * @param halveProb a measure of the probability of failure, above 0
 * @throws XError `shape` if the tensors do not fit each other; `argument` if halveProb is not above 0
 * @example
 * ```ts
 * const [key, value] = [randn([1, 4, 16, 2, 8]), randn([1, 4, 16, 2, 8])];
 * const one = ones([1, 1, 2, 1, 1]);
 * const half = halve(key, value, one, one, 1e-3);
 * console.log(half.key.shape, half.coreset.shape); // → [ 1, 4, 8, 2, 8 ] [ 1, 4, 2, 8 ]
 * ```
 */
export function halve(
  key: Tensor,
  value: Tensor,
  shift: Tensor,
  bSqd: Tensor,
  halveProb: number,
  options: HalveOptions = {},
): HalveResult {
  const op = "halve";
  checkBuckets(op, key, value);
  checkNumbers(op, positive, { halveProb });
  const [batch, buckets, size, heads] = key.shape as [number, number, number, number];
  const pairs = size / 2;
  check(
    size > 0 && size % 2 === 0,
    "shape",
    () => `${op}: a bucket must have an even number of entries, got ${size}. Leave one out.`,
  );
  for (const factor of [shift, bSqd]) {
    check(
      factor.rank === 5 &&
        factor.shape.every((n, d) => n === 1 || n === [batch, 1, heads, 1, 1][d]),
      "shape",
      () =>
        `${op}: shift and bSqd must have the shape [batch, 1, heads, 1, 1], got ${formatShape(factor.shape)}. Reshape them.`,
    );
  }
  const multiplier = logMultiplier(size, halveProb * size * size);
  const draws = roundDraws(op, { batch, heads, buckets, pairs }, multiplier, options);
  const inLine = (x: Tensor): Tensor =>
    x.permute([0, 3, 1, 2, 4]).reshape([batch, heads, buckets * size, x.shape[4]!]);
  const offsets = bSqd.reshape([bSqd.shape[0]!, bSqd.shape[2]!, 1]).expand([batch, heads, buckets]);
  const kept = kernelHalving(inLine(key), inLine(value), {
    bucket: size,
    rounds: 1,
    offsets,
    draws,
  });
  const coreset = kept
    .reshape([batch, heads, buckets, pairs])
    .remainder(size)
    .permute([0, 2, 1, 3]);
  const index = coreset.permute([0, 1, 3, 2]).unsqueeze(-1);
  const chosen = (x: Tensor): Tensor =>
    x.gather(2, index.expand([batch, buckets, pairs, heads, x.shape[4]!]));
  return { key: chosen(key), value: chosen(value), coreset };
}
