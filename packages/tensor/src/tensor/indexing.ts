/** Methods of tensors that index by tensors. */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import { multiply } from "../ops/elementwise.js";
import * as indexing from "../ops/indexing.js";
import { scalar } from "../ops/leaf.js";
import { expand, reshape } from "../ops/movement.js";
import { operandValue, type Operand } from "./operand.js";
import { formatShape, normalizeAxis, sizeOf } from "./shape.js";
import { SlicingTensor } from "./slicing.js";
import type { Tensor } from "./tensor.js";

/** The indexing part of `Tensor`. */
export abstract class IndexingTensor extends SlicingTensor {
  #along(op: string, dim: number): number {
    check(
      this.rank > 0,
      "shape",
      () => `${op}: the tensor must have at least one axis, got shape []. Reshape it to [1].`,
    );
    return normalizeAxis(op, dim, this.rank);
  }

  /**
   * The elements at `index` (integers of any shape): of the flattened tensor or, with `dim`, along
   * an axis, whose place the axes of `index` take.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const x = tensor([[1, 2], [3, 4]]);
   * const index = tensor([1, 1, 0], { dtype: "int32" });
   * console.log(await x.take(index, 0).toArray()); // → [ [ 3, 4 ], [ 3, 4 ], [ 1, 2 ] ]
   * ```
   */
  take(index: Tensor, dim?: number): Tensor {
    if (dim === undefined) {
      const flat = reshape(this.value, [sizeOf(this.shape)]);
      return this.wrap(indexing.take(flat, 0, index.value));
    }
    return this.wrap(indexing.take(this.value, this.#along("take", dim), index.value));
  }

  /**
   * The parts at the positions `index` (integers, one axis) along `dim`.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const index = tensor([1], { dtype: "int32" });
   * console.log(await tensor([[1, 2], [3, 4]]).indexSelect(1, index).toArray()); // → [ [ 2 ], [ 4 ] ]
   * ```
   */
  indexSelect(dim: number, index: Tensor): Tensor {
    const axis = this.#along("indexSelect", dim);
    return this.wrap(indexing.take(this.value, axis, vector("indexSelect", index)));
  }

  /**
   * Along `dim`, the element each index names: for dim 0, y[i][j] = x[index[i][j]][j].
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const index = tensor([[1], [0]], { dtype: "int32" });
   * console.log(await tensor([[1, 2], [3, 4]]).gather(1, index).toArray()); // → [ [ 2 ], [ 3 ] ]
   * ```
   */
  gather(dim: number, index: Tensor): Tensor {
    return this.wrap(indexing.gather(this.value, this.#along("gather", dim), index.value));
  }

  /**
   * This tensor with elements replaced: for dim 0, y[index[i][j]][j] = source[i][j]. If several go
   * to one place, one of them stays.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const index = tensor([[1], [0]], { dtype: "int32" });
   * console.log(await tensor([[1, 2], [3, 4]]).scatter(1, index, 0).toArray()); // → [ [ 1, 0 ], [ 0, 4 ] ]
   * ```
   */
  scatter(dim: number, index: Tensor, source: Operand): Tensor {
    const axis = this.#along("scatter", dim);
    const value = sourceValue("scatter", this.value, index, source);
    return this.wrap(indexing.scatter(this.value, axis, index.value, value));
  }

  /**
   * This tensor with elements added: for dim 0, y[index[i][j]][j] += source[i][j].
   *
   * @example
   * ```ts
   * import { tensor, zeros } from "@x/tensor";
   *
   * const index = tensor([0, 2, 0], { dtype: "int32" });
   * console.log(await zeros([3]).scatterAdd(0, index, tensor([1, 2, 3])).toArray()); // → [ 4, 0, 2 ]
   * ```
   */
  scatterAdd(dim: number, index: Tensor, source: Tensor): Tensor {
    const axis = this.#along("scatterAdd", dim);
    return this.wrap(indexing.scatterAdd(this.value, axis, index.value, source.value));
  }

  /**
   * This tensor with α · source[i] added to the part at `index[i]` along `dim`.
   *
   * @example
   * ```ts
   * import { tensor, zeros } from "@x/tensor";
   *
   * const index = tensor([1, 1], { dtype: "int32" });
   * const rows = tensor([[1, 2], [3, 4]]);
   * console.log(await zeros([2, 2]).indexAdd(0, index, rows).toArray()); // → [ [ 0, 0 ], [ 4, 6 ] ]
   * ```
   */
  indexAdd(dim: number, index: Tensor, source: Tensor, options: { alpha?: number } = {}): Tensor {
    const axis = this.#along("indexAdd", dim);
    const { alpha = 1 } = options;
    const scaled =
      alpha === 1
        ? source.value
        : multiply(source.value, operandValue("indexAdd", source.dtype, alpha));
    const base = this.value;
    const checked = vector("indexAdd", index);
    return this.wrap(indexing.indexAdd(base, axis, checked, scaled));
  }

  /**
   * `length` elements along `dim` from `start`, which may change at every step without a new plan.
   * A window that would reach past the end is moved back.
   *
   * @example
   * ```ts
   * import { arange } from "@x/tensor";
   *
   * console.log(await arange(5).dynamicSlice(0, 1, 2).toArray()); // → [ 1, 2 ]
   * ```
   */
  dynamicSlice(dim: number, start: Operand, length: number): Tensor {
    const axis = this.#along("dynamicSlice", dim);
    const position = startValue("dynamicSlice", start);
    return this.wrap(indexing.dynamicSlice(this.value, axis, position, length));
  }

  /**
   * This tensor with the window at `start` along `dim` replaced by `source`; `start` may change at
   * every step without a new plan. A window that would reach past the end is moved back.
   *
   * @example
   * ```ts
   * import { tensor, zeros } from "@x/tensor";
   *
   * console.log(await zeros([4]).dynamicUpdate(0, tensor([7, 8]), 1).toArray()); // → [ 0, 7, 8, 0 ]
   * ```
   */
  dynamicUpdate(dim: number, source: Tensor, start: Operand): Tensor {
    const axis = this.#along("dynamicUpdate", dim);
    const position = startValue("dynamicUpdate", start);
    return this.wrap(indexing.dynamicUpdate(this.value, axis, source.value, position));
  }

  /**
   * 1 at the class each element names, else 0, in a new last axis of `numClasses`; int32.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([2, 0], { dtype: "int32" }).oneHot(3).toArray()); // → [ [ 0, 0, 1 ], [ 1, 0, 0 ] ]
   * ```
   */
  oneHot(numClasses: number): Tensor {
    check(
      Number.isInteger(numClasses) && numClasses >= 1,
      "argument",
      () =>
        `oneHot: the number of classes must be at least 1, got ${numClasses}. Pass it explicitly.`,
    );
    return this.wrap(indexing.oneHot(this.value, numClasses));
  }
}

function vector(op: string, index: Tensor): Value {
  check(
    index.rank <= 1,
    "shape",
    () =>
      `${op}: the index must have one axis, got shape ${formatShape(index.shape)}. Flatten it or use take().`,
  );
  return index.rank === 1 ? index.value : reshape(index.value, [1]);
}

function sourceValue(op: string, x: Value, index: Tensor, source: Operand): Value {
  const value = operandValue(op, x.dtype, source);
  if (typeof source !== "number") return value;
  return expand(value, index.shape);
}

function startValue(op: string, start: Operand): Value {
  if (typeof start !== "number") return start.value;
  check(
    Number.isInteger(start),
    "argument",
    () => `${op}: the start must be a whole number, got ${start}. Round it.`,
  );
  return scalar(start, "int32");
}
