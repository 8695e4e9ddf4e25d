/** Random vectors whose kernel estimate is that of softmax. */

import { cat, randn, type Tensor } from "@x/tensor";
import { check, checkNumbers, count } from "@x/tensor/checks";
import type { Generator } from "@x/tensor/random";
import { chiSquare } from "./chi-square.js";
import { orthogonalMatrix } from "./orthogonal.js";
import { computeSimplexDir } from "./simplex.js";

/** Options of the functions that draw matrices of random vectors. */
export interface RandomMatrixOptions {
  /** How many vectors: rows. */
  readonly rows: number;
  /** Size of each vector, that of a head: columns. */
  readonly features: number;
  /** Whether the vectors are divided by √features. Default false. */
  readonly scale?: boolean;
  /** Whether the vectors are given length 1. Default false. */
  readonly normalize?: boolean;
  /** Where the numbers come from; the default generator unless given. */
  readonly generator?: Generator;
}

/** What is drawn for a block of as many vectors as they have coordinates. */
export interface SimplexDraws {
  /** Signs of the orthogonal matrix, 1 or −1: three tensors [features]. */
  readonly signs: readonly Tensor[];
  /** Squares of the lengths of the vectors, [features]. */
  readonly chi2: Tensor;
}

/** Options of {@link simplexRandomMatrix}. */
export interface SimplexRandomMatrixOptions extends RandomMatrixOptions {
  /** One for each block, the last one cut to the remaining rows: for recorded draws. */
  readonly draws?: readonly SimplexDraws[];
}

/**
 * Simplex random features: vectors that are each normally distributed with variance 1 a coordinate,
 * and together point away from each other as far as possible, in blocks of `features` vectors.
 * A block is `D S R`, with the lengths D of normally distributed vectors, the corners S of a regular
 * simplex and a random orthogonal matrix R. [rows, features].
 *
 * With rows w the mean of `exp(w·x − |x|²/2) exp(w·y − |y|²/2)` is `exp(x·y)`; no way to couple
 * vectors of independent lengths in pairs gives it a smaller variance.
 *
 * @throws XError `argument` if a size is not a whole number of at least 1 or there are not as many
 * draws as blocks
 * @example
 * ```ts
 * manualSeed(0);
 * const w = simplexRandomMatrix({ rows: 256, features: 6 });
 * const [x, y] = [tensor([0.3, 0, 0, 0, 0, 0.4]), tensor([0, 0, 0.5, 0, 0, 0.5])];
 * const phi = (data: Tensor) => w.matmul(data).sub(data.square().sum().mul(0.5)).exp();
 * const estimate = await phi(x).mul(phi(y)).mean().item();
 * console.log(Math.abs(estimate / Math.exp(0.2) - 1) < 0.1); // → true
 * ```
 * @see Reid et al.: Simplex Random Features (2023)
 */
export function simplexRandomMatrix(options: SimplexRandomMatrixOptions): Tensor {
  const { features, rows, draws, generator } = options;
  const blocks = Math.ceil(rows / features);
  check(
    draws === undefined || draws.length === blocks,
    "argument",
    () =>
      `simplexRandomMatrix: ${rows} rows of size ${features} need the draws of ${blocks} blocks, got ${draws!.length}. Pass one for each.`,
  );
  return inBlocks("simplexRandomMatrix", options, (block) => {
    const source = { ...draws?.[block], ...(generator && { generator }) };
    // Drawn in the order of the original: first the orthogonal matrix, then the lengths.
    const rotation = orthogonalMatrix(features, source);
    return computeSimplexDir(features, source).matmul(rotation);
  });
}

/**
 * Orthogonal random features, for comparison: as {@link simplexRandomMatrix}, but the vectors of a
 * block are orthogonal to each other. [rows, features].
 *
 * @throws XError `argument` if a size is not a whole number of at least 1
 * @example
 * ```ts
 * const w = orthogonalRandomMatrix({ rows: 3, features: 3, normalize: true });
 * const products = await w.matmul(w.t()).abs().round().toArray();
 * console.log(products); // → [ [ 1, 0, 0 ], [ 0, 1, 0 ], [ 0, 0, 1 ] ]
 * ```
 * @see Choromanski et al.: Rethinking Attention with Performers (2021)
 */
export function orthogonalRandomMatrix(options: RandomMatrixOptions): Tensor {
  const { features, generator } = options;
  return inBlocks("orthogonalRandomMatrix", options, () => {
    const rotation = orthogonalMatrix(features, generator && { generator });
    return rotation.mul(chiSquare(features, features, generator).sqrt().unsqueeze(-1));
  });
}

/**
 * Independent random features, for comparison: all numbers are standard normal. [rows, features].
 *
 * @throws XError `argument` if a size is not a whole number of at least 1
 * @example
 * ```ts
 * console.log(independentRandomMatrix({ rows: 5, features: 3 }).shape); // → [ 5, 3 ]
 * ```
 */
export function independentRandomMatrix(options: RandomMatrixOptions): Tensor {
  const { rows, features, generator } = options;
  checkNumbers("independentRandomMatrix", count, { rows, features });
  return scaled(randn([rows, features], generator && { generator }), options);
}

/** How the vectors of a random matrix are coupled. */
export type FeatureKind = "simplex" | "orthogonal" | "independent";

/** The kinds of random matrices. */
export const featureKinds: readonly FeatureKind[] = ["simplex", "orthogonal", "independent"];

/** A random matrix of the given kind. */
export function drawFeatures(kind: FeatureKind, options: RandomMatrixOptions): Tensor {
  switch (kind) {
    case "simplex":
      return simplexRandomMatrix(options);
    case "orthogonal":
      return orthogonalRandomMatrix(options);
    case "independent":
      return independentRandomMatrix(options);
  }
}

function inBlocks(
  op: string,
  options: RandomMatrixOptions,
  block: (index: number) => Tensor,
): Tensor {
  const { rows, features } = options;
  checkNumbers(op, count, { rows, features });
  const blocks = Array.from({ length: Math.ceil(rows / features) }, (_, i) => block(i));
  return scaled(cat(blocks, 0).narrow(0, 0, rows), options);
}

function scaled(matrix: Tensor, options: RandomMatrixOptions): Tensor {
  const { features, scale = false, normalize = false } = options;
  const vectors = scale ? matrix.mul(features ** -0.5) : matrix;
  return normalize ? vectors.div(vectors.square().sum(-1, { keepdim: true }).sqrt()) : vectors;
}
