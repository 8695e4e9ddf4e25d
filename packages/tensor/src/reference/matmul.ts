/** The batched matrix product. */

import type { ReferenceArray } from "./array.js";

/** [..., m, k] × [..., k, n] → [..., m, n], leading axes equal. */
export function computeMatmul(a: ReferenceArray, b: ReferenceArray): Float64Array {
  const [m, k] = a.shape.slice(-2) as [number, number];
  const n = b.shape.at(-1)!;
  const batches = a.shape.slice(0, -2).reduce((size, length) => size * length, 1);
  const result = new Float64Array(batches * m * n);
  for (let batch = 0; batch < batches; batch++) {
    for (let row = 0; row < m; row++) {
      for (let inner = 0; inner < k; inner++) {
        const x = a.elements[(batch * m + row) * k + inner]!;
        for (let column = 0; column < n; column++) {
          result[(batch * m + row) * n + column]! +=
            x * b.elements[(batch * k + inner) * n + column]!;
        }
      }
    }
  }
  return result;
}
