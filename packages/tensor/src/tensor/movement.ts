/** Methods of tensors that rearrange elements: views, repetition, order. */

import { check, XError } from "../error.js";
import { concatenate } from "../ops/join.js";
import * as movement from "../ops/movement.js";
import { ReducingTensor, type Axes } from "./reduce.js";
import {
  checkShape,
  formatShape,
  normalizeAxes,
  normalizeAxis,
  sizeOf,
  type Shape,
} from "./shape.js";
import type { Tensor } from "./tensor.js";

/** The rearranging part of `Tensor`. */
export abstract class MovementTensor extends ReducingTensor {
  #axis(op: string, dim: number): number {
    return normalizeAxis(op, dim, this.value.shape.length);
  }

  /**
   * The same elements in row-major order under another shape; one size may be −1: what is left.
   *
   * @example
   * ```ts
   * import { arange } from "@x/tensor";
   *
   * console.log(arange(6).reshape([2, -1]).shape); // → [ 2, 3 ]
   * ```
   */
  reshape(shape: Shape): Tensor {
    return this.wrap(movement.reshape(this.value, inferredShape("reshape", shape, this.size)));
  }

  /** The same as `reshape`; nothing here depends on memory layout. */
  view(shape: Shape): Tensor {
    return this.reshape(shape);
  }

  /**
   * Joins the axes from `startDim` to `endDim` into one.
   *
   * @example
   * ```ts
   * import { ones } from "@x/tensor";
   *
   * console.log(ones([2, 3, 4]).flatten(1).shape); // → [ 2, 12 ]
   * ```
   */
  flatten(startDim: number = 0, endDim: number = -1): Tensor {
    const { shape } = this.value;
    if (shape.length === 0) return this.reshape([1]);
    const start = this.#axis("flatten", startDim);
    const end = this.#axis("flatten", endDim);
    check(
      start <= end,
      "argument",
      () =>
        `flatten: startDim must not come after endDim, got ${startDim} and ${endDim}. Swap them.`,
    );
    const joined = sizeOf(shape.slice(start, end + 1));
    return this.reshape([...shape.slice(0, start), joined, ...shape.slice(end + 1)]);
  }

  /**
   * Splits one axis into several; one size may be −1: what is left.
   *
   * @example
   * ```ts
   * import { ones } from "@x/tensor";
   *
   * console.log(ones([2, 12]).unflatten(1, [3, -1]).shape); // → [ 2, 3, 4 ]
   * ```
   */
  unflatten(dim: number, sizes: Shape): Tensor {
    const { shape } = this.value;
    const axis = this.#axis("unflatten", dim);
    const parts = inferredShape("unflatten", sizes, shape[axis]!);
    return this.reshape(shape.toSpliced(axis, 1, ...parts));
  }

  /**
   * Puts the axes in another order: axis i of the result is axis `dims[i]` of this tensor.
   *
   * @example
   * ```ts
   * import { ones } from "@x/tensor";
   *
   * console.log(ones([2, 3, 4]).permute([2, 0, 1]).shape); // → [ 4, 2, 3 ]
   * ```
   */
  permute(dims: readonly number[]): Tensor {
    const { rank } = this;
    const axes = dims.map((dim) => this.#axis("permute", dim));
    check(
      axes.length === rank && new Set(axes).size === rank,
      "argument",
      () =>
        `permute: every axis must be named exactly once, got [${dims.join(", ")}] for a tensor of rank ${rank}. Name ${rank} different axes.`,
    );
    return this.wrap(movement.permute(this.value, axes));
  }

  /**
   * Swaps two axes.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([[1, 2], [3, 4]]).transpose(0, 1).toArray()); // → [ [ 1, 3 ], [ 2, 4 ] ]
   * ```
   */
  transpose(dim0: number, dim1: number): Tensor {
    const first = this.#axis("transpose", dim0);
    return this.wrap(movement.transpose(this.value, first, this.#axis("transpose", dim1)));
  }

  /** Transposes a matrix; tensors of rank 0 and 1 stay as they are. */
  t(): Tensor {
    check(
      this.rank <= 2,
      "shape",
      () =>
        `t: the tensor must have at most two axes, got shape ${formatShape(this.shape)}. Use transpose(-2, -1).`,
    );
    return this.rank < 2 ? this.wrap(this.value) : this.transpose(0, 1);
  }

  /**
   * Removes axes of size 1: all of them, or those among `dim`.
   *
   * @example
   * ```ts
   * import { ones } from "@x/tensor";
   *
   * console.log(ones([1, 2, 1]).squeeze().shape, ones([1, 2, 1]).squeeze(0).shape); // → [ 2 ] [ 2, 1 ]
   * ```
   */
  squeeze(dim?: Axes): Tensor {
    const { shape } = this.value;
    const axes = normalizeAxes("squeeze", dim, shape.length);
    return this.wrap(
      movement.reshape(
        this.value,
        shape.filter((n, i) => n !== 1 || !axes.includes(i)),
      ),
    );
  }

  /**
   * Inserts an axis of size 1 so that it becomes axis `dim`.
   *
   * @example
   * ```ts
   * import { ones } from "@x/tensor";
   *
   * console.log(ones([2]).unsqueeze(0).shape, ones([2]).unsqueeze(-1).shape); // → [ 1, 2 ] [ 2, 1 ]
   * ```
   */
  unsqueeze(dim: number): Tensor {
    const { shape } = this.value;
    const axis = normalizeAxis("unsqueeze", dim, shape.length + 1);
    return this.wrap(movement.reshape(this.value, shape.toSpliced(axis, 0, 1)));
  }

  /**
   * Repeats axes of size 1 (and new leading ones) to `shape`, without copying; −1 keeps a size.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([[1], [2]]).expand([-1, 3]).toArray()); // → [ [ 1, 1, 1 ], [ 2, 2, 2 ] ]
   * ```
   */
  expand(shape: Shape): Tensor {
    const own = this.value.shape;
    const lead = shape.length - own.length;
    const full = shape.map((n, i) => (n === -1 && i >= lead ? own[i - lead]! : n));
    checkShape("expand", full);
    return this.wrap(movement.expand(this.value, full));
  }

  /** This tensor repeated to the shape of another. */
  expandAs(other: Tensor): Tensor {
    return this.expand(other.shape);
  }

  /**
   * Repeats the whole tensor `repeats[i]` times along axis i; extra leading axes may be named.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2]).repeat([2]).toArray()); // → [ 1, 2, 1, 2 ]
   * ```
   */
  repeat(repeats: readonly number[]): Tensor {
    const { shape } = this.value;
    const lead = repeats.length - shape.length;
    check(
      lead >= 0,
      "argument",
      () =>
        `repeat: a count is needed for every axis, got [${repeats.join(", ")}] for shape ${formatShape(shape)}. Use 1 for axes that stay.`,
    );
    checkShape("repeat", repeats);
    const sizes = [...repeats.slice(0, lead).map(() => 1), ...shape];
    const split = sizes.flatMap((n) => [1, n]);
    const spread = sizes.flatMap((n, i) => [repeats[i]!, n]);
    const value = movement.expand(movement.reshape(this.value, split), spread);
    return this.wrap(
      movement.reshape(
        value,
        sizes.map((n, i) => n * repeats[i]!),
      ),
    );
  }

  /**
   * Repeats each element `repeats` times in a row, along `dim` or of the flattened tensor.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2]).repeatInterleave(2).toArray()); // → [ 1, 1, 2, 2 ]
   * ```
   */
  repeatInterleave(repeats: number, dim?: number): Tensor {
    checkShape("repeatInterleave", [repeats]);
    if (dim === undefined) return this.flatten().repeatInterleave(repeats, 0);
    const { shape } = this.value;
    const axis = this.#axis("repeatInterleave", dim);
    const before = shape.slice(0, axis + 1);
    const after = shape.slice(axis + 1);
    const value = movement.expand(movement.reshape(this.value, [...before, 1, ...after]), [
      ...before,
      repeats,
      ...after,
    ]);
    return this.wrap(
      movement.reshape(value, [...shape.slice(0, axis), shape[axis]! * repeats, ...after]),
    );
  }

  /**
   * Reverses the order along the axes `dims`.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2, 3]).flip(0).toArray()); // → [ 3, 2, 1 ]
   * ```
   */
  flip(dims: Axes): Tensor {
    return this.wrap(movement.flip(this.value, normalizeAxes("flip", dims, this.rank)));
  }

  /**
   * Moves elements `shifts` places on, those that leave at the end enter at the beginning; along
   * `dims`, or in row-major order of all.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2, 3]).roll(1).toArray()); // → [ 3, 1, 2 ]
   * ```
   */
  roll(shifts: Axes, dims?: Axes): Tensor {
    if (dims === undefined) return this.flatten().roll(shifts, 0).reshape(this.shape);
    const amounts = typeof shifts === "number" ? [shifts] : shifts;
    const axes = typeof dims === "number" ? [dims] : dims;
    check(
      amounts.length === axes.length,
      "argument",
      () =>
        `roll: one shift is needed for each axis, got ${amounts.length} shifts and ${axes.length} axes. Match them.`,
    );
    let { value } = this;
    axes.forEach((dim, i) => {
      const axis = this.#axis("roll", dim);
      const n = value.shape[axis]!;
      const shift = n === 0 ? 0 : ((amounts[i]! % n) + n) % n;
      if (shift === 0) return;
      const tail = movement.narrow(value, axis, n - shift, shift);
      value = concatenate([tail, movement.narrow(value, axis, 0, n - shift)], axis);
    });
    return this.wrap(value);
  }
}

/** `shape` with a −1 replaced by what is left of `size`. */
function inferredShape(op: string, shape: Shape, size: number): Shape {
  const unknown = shape.indexOf(-1);
  if (unknown < 0) {
    checkShape(op, shape);
    if (sizeOf(shape) !== size) failToFit(op, shape, size);
    return shape;
  }
  const known = shape.filter((_, i) => i !== unknown);
  checkShape(op, known);
  const rest = sizeOf(known);
  if (rest === 0 || size % rest !== 0) failToFit(op, shape, size);
  return shape.map((n, i) => (i === unknown ? size / rest : n));
}

function failToFit(op: string, shape: Shape, size: number): never {
  throw new XError(
    "shape",
    `${op}: the shape must hold all ${size} elements, got ${formatShape(shape)}. Correct the sizes or write one of them as -1.`,
  );
}
