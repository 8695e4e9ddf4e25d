/** The random numbers of halving. */

import { arange, bernoulli, full, rand, where, type Generator, type Tensor } from "@x/tensor";
import { check, formatShape, sameShape } from "@x/tensor/checks";
import { isReference, type Compatibility } from "../compatibility.js";

/** Random numbers of one halving of every bucket, in place of those of a generator. */
export interface HalvingDraws {
  /** Evenly distributed in [0, 1): [batch, buckets, heads, pairs]. */
  readonly uniforms: Tensor;
  /**
   * True where the choices of a halving problem are inverted; bool, broadcastable to
   * [batch, buckets, heads]. Drawn unless given.
   */
  readonly bernoulli?: Tensor | null;
}

/** Where the random numbers of halving come from. */
export interface RandomnessOptions {
  /**
   * Whether the half that is kept, or the other one, is given with equal probability. Default: as
   * the function says.
   */
  readonly symmetrize?: boolean;
  /** Where random numbers come from; the default generator unless given. */
  readonly generator?: Generator;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** The sizes of halving problems: of one round in all batches and heads. */
export interface ProblemSizes {
  readonly batch: number;
  readonly heads: number;
  readonly buckets: number;
  /** Half of the entries of a bucket. */
  readonly pairs: number;
}

/** `log(2 S / δ) + 1/2`, what draws are scaled by; S entries, failure probability δ. */
export function logMultiplier(entries: number, delta: number): number {
  return 0.5 + Math.log((2 * entries) / delta);
}

/**
 * The draws of one round as `kernelHalving` takes them, [batch, heads, buckets · pairs]: evenly
 * distributed between −m and m, the first of a bucket negative where its choices are inverted.
 *
 * @param multiplier m, a number or a tensor [batch, 1, 1, 1]
 */
export function roundDraws(
  op: string,
  { batch, heads, buckets, pairs }: ProblemSizes,
  multiplier: number | Tensor,
  options: RandomnessOptions & { readonly draws?: HalvingDraws | null },
): Tensor {
  const { symmetrize = true, draws = null, generator } = options;
  const random = generator ? { generator } : {};
  const shape = [batch, heads, buckets, pairs];
  const isOneBit = isReference(op, options.compat);
  let uniforms: Tensor;
  if (draws === null) uniforms = rand(shape, random);
  else {
    const recorded = [batch, buckets, heads, pairs];
    check(
      sameShape(draws.uniforms.shape, recorded),
      "shape",
      () =>
        `${op}: uniforms must have the shape ${formatShape(recorded)}, [batch, buckets, heads, pairs], got ${formatShape(draws.uniforms.shape)}. Draw one for each pair.`,
    );
    uniforms = draws.uniforms.permute([0, 2, 1, 3]);
  }
  const scaled = uniforms.sub(0.5).mul(2).mul(multiplier);
  let first: Tensor | null = null;
  if (!symmetrize) first = full([], 1);
  else if (draws?.bernoulli) {
    const bits = draws.bernoulli.expand([batch, buckets, heads]).permute([0, 2, 1]);
    first = where(bits, -1, 1).unsqueeze(-1);
  } else if (isOneBit)
    first = bernoulli(full([1], 0.5), random)
      .mul(2)
      .sub(1);
  // Otherwise the sign of the first draw, which is used for nothing else, is a fair bit.
  const signed = first === null ? scaled : where(arange(pairs).eq(0), first, scaled);
  return signed.reshape([batch, heads, buckets * pairs]);
}
