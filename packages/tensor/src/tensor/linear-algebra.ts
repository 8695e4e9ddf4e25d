/** Matrix products as methods of tensors. */

import { check } from "../error.js";
import { multiply } from "../ops/elementwise.js";
import { matmul } from "../ops/matmul.js";
import { reshape } from "../ops/movement.js";
import { formatShape } from "./shape.js";
import { SoftmaxTensor } from "./softmax.js";
import type { Tensor } from "./tensor.js";

/** The part of `Tensor` about matrices and vectors. */
export abstract class LinearAlgebraTensor extends SoftmaxTensor {
  /**
   * Matrix product over the last two axes, leading axes broadcast: [..., m, k] × [..., k, n] →
   * [..., m, n]. A vector on the left is a row, on the right a column, and that axis disappears
   * from the result.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const rotation = tensor([[0, -1], [1, 0]]);
   * console.log(await rotation.matmul(tensor([3, 4])).toArray()); // → [ -4, 3 ]
   * ```
   */
  matmul(other: Tensor): Tensor {
    return this.wrap(matmul(this.value, other.value));
  }

  /** Matrix product of two matrices: [m, k] × [k, n] → [m, n]. */
  mm(other: Tensor): Tensor {
    this.#checkRanks("mm", other, 2);
    return this.matmul(other);
  }

  /**
   * Matrix products of two equally long batches: [b, m, k] × [b, k, n] → [b, m, n].
   *
   * @example
   * ```ts
   * import { ones } from "@x/tensor";
   *
   * console.log(ones([5, 2, 3]).bmm(ones([5, 3, 4])).shape); // → [ 5, 2, 4 ]
   * ```
   */
  bmm(other: Tensor): Tensor {
    this.#checkRanks("bmm", other, 3);
    check(
      this.shape[0] === other.shape[0],
      "shape",
      () =>
        `bmm: both batches must have the same length, got ${formatShape(this.shape)} and ${formatShape(other.shape)}. Use matmul() to broadcast.`,
    );
    return this.matmul(other);
  }

  /**
   * Inner product of two vectors of the same length.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2]).dot(tensor([3, 4])).item()); // → 11
   * ```
   */
  dot(other: Tensor): Tensor {
    this.#checkRanks("dot", other, 1);
    return this.matmul(other);
  }

  /**
   * Outer product of two vectors: y[i][j] = x[i] · other[j].
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2]).outer(tensor([3, 4])).toArray()); // → [ [ 3, 4 ], [ 6, 8 ] ]
   * ```
   */
  outer(other: Tensor): Tensor {
    this.#checkRanks("outer", other, 1);
    const column = reshape(this.value, [this.shape[0]!, 1]);
    return this.wrap(multiply(column, other.value));
  }

  #checkRanks(op: string, other: Tensor, rank: number): void {
    check(
      this.rank === rank && other.rank === rank,
      "shape",
      () =>
        `${op}: both tensors must have ${rank} ${rank === 1 ? "axis" : "axes"}, got ${formatShape(this.shape)} and ${formatShape(other.shape)}. Use matmul() for other ranks.`,
    );
  }
}
