/** Hadamard matrices. */

import { fromData, type Tensor } from "@x/tensor";

/** Whether `size` is a power of two: for these Sylvester's construction gives a Hadamard matrix. */
export function isPowerOfTwo(size: number): boolean {
  return Number.isInteger(Math.log2(size));
}

/** Sylvester's Hadamard matrix, [size, size]: 1 and −1, rows orthogonal; of a power of two. */
export function hadamardMatrix(size: number): Tensor {
  const entries = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      // −1 to the number of ones that i and j have in common, written in base two.
      let isOdd = false;
      for (let common = i & j; common > 0; common &= common - 1) isOdd = !isOdd;
      entries[i * size + j] = isOdd ? -1 : 1;
    }
  }
  return fromData(entries, [size, size]);
}
