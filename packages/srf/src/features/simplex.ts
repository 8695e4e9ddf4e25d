/** Directions of a simplex. */

import { fromData, type Tensor } from "@x/tensor";
import { check, checkNumbers, count, formatShape, sameShape } from "@x/tensor/checks";
import type { Generator } from "@x/tensor/random";
import { chiSquare } from "./chi-square.js";

/**
 * The directions from the centre of a regular simplex to its corners: `size` unit vectors, any two
 * of which have the product −1 / (size − 1), as rows [size, size]. Their last coordinate is 0.
 *
 * @example
 * ```ts
 * const corners = simplexDirections(3);
 * const products = await corners.matmul(corners.t()).data();
 * console.log([...products.slice(0, 3)].map((x) => x.toFixed(3))); // → [ '1.000', '-0.500', '-0.500' ]
 * ```
 */
export function simplexDirections(size: number): Tensor {
  checkNumbers("simplexDirections", count, { size });
  if (size === 1) return fromData(Float32Array.of(1), [1, 1]);
  // Unit vectors of the first n coordinates, all moved by the same amount in all of these, and a
  // last corner opposite to them; then scaled to length 1.
  const n = size - 1;
  const length = Math.sqrt(n / size);
  const shift = (1 + 1 / Math.sqrt(size)) / n;
  const rows = new Float32Array(size * size);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) rows[i * size + j] = ((i === j ? 1 : 0) - shift) / length;
  }
  rows.fill(1 / Math.sqrt(size) / length, n * size, n * size + n);
  return fromData(rows, [size, size]);
}

/** Options of {@link computeSimplexDir}. */
export interface SimplexOptions {
  /** Where the lengths come from; the default generator unless given. */
  readonly generator?: Generator;
  /** The squares of the lengths, [size], in place of drawn ones: for recorded draws. */
  readonly chi2?: Tensor;
}

/**
 * {@link simplexDirections} with random lengths, those of normally distributed vectors: row i is
 * `√χ²ᵢ sᵢ`, where χ² is distributed chi-square with `size` degrees of freedom; [size, size].
 *
 * @throws XError `argument` if the size is not a whole number of at least 1, `shape` if `chi2` is
 * not [size]
 * @example
 * ```ts
 * const rows = computeSimplexDir(3, { chi2: tensor([1, 4, 9]) });
 * console.log(await rows.square().sum(-1).round().toArray()); // → [ 1, 4, 9 ]
 * ```
 */
export function computeSimplexDir(size: number, options: SimplexOptions = {}): Tensor {
  const { chi2 = chiSquare(size, size, options.generator) } = options;
  check(
    sameShape(chi2.shape, [size]),
    "shape",
    () =>
      `computeSimplexDir: chi2 must be [${size}], got ${formatShape(chi2.shape)}. Pass one number a row.`,
  );
  return simplexDirections(size).mul(chi2.sqrt().unsqueeze(-1));
}
