/** Random projections of queries and keys, which features are made of. */

import type { Tensor } from "@x/tensor";

/** The exponents of features, and what keeps their exponentials in bounds. */
export interface Projections {
  /** `P x s − |x|² s² / 2`, [..., F]. */
  readonly exponents: Tensor;
  /** The largest number of each row of `P x s`, [..., 1], a constant for gradients. */
  readonly maxima: Tensor;
}

/** The lowest number of float32: what stands for hidden keys, whose exponential is 0. */
export const lowest = -3.4028234663852886e38;

/**
 * The logarithms of the features of data [..., d] by the random vectors `matrix` [F, d].
 *
 * @param scale s, which data is multiplied by
 */
export function projectionsOf(data: Tensor, matrix: Tensor, scale: number): Projections {
  const products = data.mul(scale).matmul(matrix.t());
  const halfSquare = data
    .square()
    .sum(-1, { keepdim: true })
    .mul((scale * scale) / 2);
  return {
    exponents: products.sub(halfSquare),
    maxima: products.detach().amax(-1, { keepdim: true }),
  };
}
