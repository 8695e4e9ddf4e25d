/** ALiBi: scores fall with the distance, in every head at another rate. */

import { fromData, type Tensor } from "@x/tensor";

/**
 * The slope of each head, [heads, 1, 1]: for a power of 2, `2^(−8 (h + 1) / heads)`; otherwise those
 * of the next smaller power and, for the rest, every second one of the next larger power.
 *
 * @see Press, Smith, Lewis: Train Short, Test Long (2022)
 */
export function alibiSlopes(heads: number): Tensor {
  const slopes = (n: number): number[] =>
    Array.from({ length: n }, (_, h) => 2 ** ((-8 * (h + 1)) / n));
  const power = 2 ** Math.floor(Math.log2(heads));
  const others = slopes(2 * power).filter((_, h) => h % 2 === 0);
  const all = [...slopes(power), ...others].slice(0, heads);
  return fromData(Float32Array.from(all), [heads, 1, 1]);
}
