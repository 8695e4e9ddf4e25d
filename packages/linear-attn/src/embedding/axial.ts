/** Positional embeddings that are factored along axes. */

import type { Tensor } from "@x/tensor";
import type { PositionOptions } from "@x/tensor/nn";
import { cat, checkNumbers, Module, Parameter, randn } from "../engine.js";
import { checkCounts, exactly } from "../checks.js";
import { checkLength, positionsFrom } from "./positions.js";

/** Options of {@link AxialPositionalEmbedding}. */
export interface AxialPositionalEmbeddingOptions {
  /**
   * How many elements of a vector each axis gives; they must add up to `dim`. Default: every axis
   * gives all `dim`, and what they give is added.
   */
  readonly axialDims?: readonly number[] | null;
}

const owner = "AxialPositionalEmbedding";

/**
 * A trained vector for each of `Π axialShape` positions, made of few: positions are laid out in a grid
 * of the shape `axialShape`, row by row, and each axis has one vector a coordinate. The vector of a
 * position is the sum of those of its coordinates, or with `axialDims` their concatenation: for two
 * axes `e[i · columns + j] = weights_0[i] + weights_1[j]`.
 *
 * @example
 * ```ts
 * const embedding = new AxialPositionalEmbedding(8, [16, 32]);
 * console.log(embedding.forward(zeros([2, 100, 8])).shape); // → [ 2, 100, 8 ]
 * console.log(embedding.maxSeqLen, Object.keys(embedding.stateDict())); // → 512 [ 'weights_0', 'weights_1' ]
 * ```
 *
 * @see Ho et al.: Axial Attention in Multidimensional Transformers (2019); Kitaev et al.: Reformer (2020)
 */
export class AxialPositionalEmbedding extends Module {
  /** Size of the vectors. */
  readonly dim: number;
  /** The shape of the grid. */
  readonly axialShape: readonly number[];
  /** How many positions there are. */
  readonly maxSeqLen: number;
  /** Whether the vectors of the coordinates are added, not concatenated. */
  readonly summed: boolean;
  /** The vectors of each axis, numbered as in the original. */
  [weights: `weights_${number}`]: Parameter;

  /**
   * @param dim size of the vectors
   * @param axialShape the shape of the grid
   * @throws XError `argument` if a size is out of range or the sizes do not fit each other
   */
  constructor(
    dim: number,
    axialShape: readonly number[],
    options: AxialPositionalEmbeddingOptions = {},
  ) {
    super();
    const { axialDims = null } = options;
    const dims = axialDims ?? axialShape.map(() => dim);
    checkCounts(owner, { dim, axialShape: [...axialShape], axialDims: [...dims] });
    checkCounts(owner, { "axialShape.length": axialShape.length });
    if (axialDims !== null) {
      checkNumbers(owner, exactly(axialShape.length), { "axialDims.length": dims.length });
      const sum = dims.reduce((total, size) => total + size, 0);
      checkNumbers(owner, exactly(dim), { "the sum of axialDims": sum });
    }
    this.dim = dim;
    this.axialShape = [...axialShape];
    this.maxSeqLen = axialShape.reduce((product, size) => product * size, 1);
    this.summed = axialDims === null;
    axialShape.forEach((size, axis) => {
      const shape = axialShape.map((_, other) => (other === axis ? size : 1));
      this[`weights_${axis}` as const] = new Parameter(randn([1, ...shape, dims[axis]!]));
    });
  }

  /**
   * The vectors of the positions of `x`, [batch, length, dim], in the same shape; `x` itself is not
   * added.
   *
   * @throws XError `shape` if `x` has other axes; `argument` if there are more positions than vectors,
   * as far as that can be seen
   */
  forward(x: Tensor, options: PositionOptions = {}): Tensor {
    const length = checkLength(owner, x, this.maxSeqLen, options);
    const positions = positionsFrom(options.offset ?? 0, length);
    let stride = this.maxSeqLen;
    const parts = this.parameters().map((weights, axis) => {
      const size = this.axialShape[axis]!;
      stride /= size;
      const coordinates = positions.floorDivide(stride).remainder(size);
      return weights.reshape([size, -1]).take(coordinates, 0);
    });
    const vectors = this.summed ? parts.reduce((total, part) => total.add(part)) : cat(parts, -1);
    return vectors.expand([x.shape[0]!, length, this.dim]);
  }
}
