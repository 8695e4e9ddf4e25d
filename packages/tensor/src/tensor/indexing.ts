/** Methods of tensors that index by tensors. */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import { multiply } from "../ops/elementwise.js";
import * as indexing from "../ops/indexing.js";
import { scalar } from "../ops/leaf.js";
import { expand, reshape } from "../ops/movement.js";
import { operandValue, type Operand } from "./elementwise.js";
import { MovementTensor } from "./movement.js";
import { formatShape, normalizeAxis, sizeOf } from "./shape.js";
import type { Tensor } from "./tensor.js";

/** The indexing part of `Tensor`. */
export abstract class IndexingTensor extends MovementTensor {
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
   */
  take(index: Tensor, dim?: number): Tensor {
    if (dim === undefined) {
      const flat = reshape(this.value, [sizeOf(this.shape)]);
      return this.wrap(indexing.take(flat, 0, index.value));
    }
    return this.wrap(indexing.take(this.value, this.#along("take", dim), index.value));
  }

  /** The parts at the positions `index` (integers, one axis) along `dim`. */
  indexSelect(dim: number, index: Tensor): Tensor {
    const axis = this.#along("indexSelect", dim);
    return this.wrap(indexing.take(this.value, axis, vector("indexSelect", index)));
  }

  /** Along `dim`, the element each index names: for dim 0, y[i][j] = x[index[i][j]][j]. */
  gather(dim: number, index: Tensor): Tensor {
    return this.wrap(indexing.gather(this.value, this.#along("gather", dim), index.value));
  }

  /**
   * This tensor with elements replaced: for dim 0, y[index[i][j]][j] = source[i][j]. If several go
   * to one place, one of them stays.
   */
  scatter(dim: number, index: Tensor, source: Operand): Tensor {
    const axis = this.#along("scatter", dim);
    const value = sourceValue("scatter", this.value, index, source);
    return this.wrap(indexing.scatter(this.value, axis, index.value, value));
  }

  /** This tensor with elements added: for dim 0, y[index[i][j]][j] += source[i][j]. */
  scatterAdd(dim: number, index: Tensor, source: Tensor): Tensor {
    const axis = this.#along("scatterAdd", dim);
    return this.wrap(indexing.scatterAdd(this.value, axis, index.value, source.value));
  }

  /** This tensor with α · source[i] added to the part at `index[i]` along `dim`. */
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
   */
  dynamicSlice(dim: number, start: Operand, length: number): Tensor {
    const axis = this.#along("dynamicSlice", dim);
    const position = startValue("dynamicSlice", start);
    return this.wrap(indexing.dynamicSlice(this.value, axis, position, length));
  }

  /**
   * This tensor with the window at `start` along `dim` replaced by `source`; `start` may change at
   * every step without a new plan. A window that would reach past the end is moved back.
   */
  dynamicUpdate(dim: number, source: Tensor, start: Operand): Tensor {
    const axis = this.#along("dynamicUpdate", dim);
    const position = startValue("dynamicUpdate", start);
    return this.wrap(indexing.dynamicUpdate(this.value, axis, source.value, position));
  }

  /** 1 at the class each element names, else 0, in a new last axis of `numClasses`; int32. */
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
