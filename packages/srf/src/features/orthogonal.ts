/** Random orthogonal matrices. */

import { rand, where, zeros, type Tensor } from "@x/tensor";
import { check, checkNumbers, count, formatShape, sameShape } from "@x/tensor/checks";
import { init, Parameter } from "@x/tensor/nn";
import type { Generator } from "@x/tensor/random";
import { hadamardMatrix, isPowerOfTwo } from "./hadamard.js";

/** Options of {@link orthogonalMatrixChunkHadamard}. */
export interface HadamardOptions {
  /** Where the signs come from; the default generator unless given. */
  readonly generator?: Generator;
  /** Three rows of signs, 1 or −1, each [size], in place of drawn ones: for recorded draws. */
  readonly signs?: readonly Tensor[];
}

/**
 * A random orthogonal matrix out of signs only: `H D₃ H D₂ H D₁ / size^1.5` with the Hadamard matrix
 * H and diagonal matrices Dᵢ of fair random signs, [size, size]. It is nearly, not exactly,
 * uniformly distributed: the nearer the larger it is.
 *
 * @param size a power of two
 * @throws XError `argument` if the size is not a power of two, `shape` if the signs do not fit
 * @example
 * ```ts
 * const q = orthogonalMatrixChunkHadamard(4);
 * const product = await q.matmul(q.t()).data();
 * console.log([...product.slice(0, 4)]); // → [ 1, 0, 0, 0 ]
 * ```
 * @see Yu et al.: Orthogonal Random Features (2016)
 */
export function orthogonalMatrixChunkHadamard(size: number, options: HadamardOptions = {}): Tensor {
  const op = "orthogonalMatrixChunkHadamard";
  checkNumbers(op, count, { size });
  check(
    isPowerOfTwo(size),
    "argument",
    () =>
      `${op}: there are Hadamard matrices of this kind for powers of two only, got ${size}. Use simplexRandomMatrix, which takes another construction.`,
  );
  const { signs = randomSigns(size, options.generator) } = options;
  const shapes = signs.map(({ shape }) => formatShape(shape)).join(", ");
  check(
    signs.length === 3 && signs.every(({ shape }) => sameShape(shape, [size])),
    "shape",
    () => `${op}: signs must be three tensors [${size}], got ${shapes}. Pass three.`,
  );
  const h = hadamardMatrix(size).mul(size ** -0.5);
  // H D scales the columns of H.
  const [first, second, third] = signs.map((row) => h.mul(row)) as [Tensor, Tensor, Tensor];
  return third.matmul(second.matmul(first));
}

function randomSigns(size: number, generator: Generator | undefined): Tensor[] {
  const draws = rand([3, size], generator && { generator });
  return where(draws.lt(0.5), 1, -1).unbind(0);
}

/** The size from which products of Hadamard matrices are near enough to uniformly distributed. */
const leastHadamard = 16;

/**
 * A random orthogonal matrix [size, size]: {@link orthogonalMatrixChunkHadamard} for powers of two
 * from 16 on, otherwise the orthonormalised rows of a normally distributed matrix, which is exactly
 * uniformly distributed.
 */
export function orthogonalMatrix(size: number, options: HadamardOptions = {}): Tensor {
  const isFast = isPowerOfTwo(size) && size >= leastHadamard;
  if (isFast || options.signs) return orthogonalMatrixChunkHadamard(size, options);
  const { generator } = options;
  return init.orthogonal(
    new Parameter(zeros([size, size]), { requiresGrad: false }),
    generator && { generator },
  );
}
