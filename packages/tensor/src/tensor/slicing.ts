/** Methods of tensors that take parts: slices, windows, triangles; and padding, their opposite. */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import { add, cast, less, lessEqual, where, zeroOf } from "../ops/elementwise.js";
import { iota, scalar } from "../ops/leaf.js";
import * as movement from "../ops/movement.js";
import { isFloat } from "./dtype.js";
import { MovementTensor } from "./movement.js";
import { formatShape, normalizeAxis } from "./shape.js";
import type { Tensor } from "./tensor.js";

/**
 * What `slice` takes for one axis: a position (which removes the axis), `[start, stop]` or
 * `[start, stop, step]` (`null` for "from the beginning" and "to the end"), or `null` for the whole
 * axis; `"..."` stands for as many whole axes as are left over.
 */
export type SliceSpec =
  | number
  | readonly [start: number | null, stop?: number | null, step?: number]
  | null
  | undefined
  | "...";

/** The part of `Tensor` about parts. */
export abstract class SlicingTensor extends MovementTensor {
  #axis(op: string, dim: number): number {
    return normalizeAxis(op, dim, this.value.shape.length);
  }

  /**
   * Part of the tensor, one spec per axis (missing ones mean the whole axis): a position, which
   * removes the axis; `[start, stop]` or `[start, stop, step]`; `null` for all; `"..."` for as many
   * whole axes as fit. Negative positions count from the end. Ranges are cut to what is there.
   *
   * @example
   * ```ts
   * import { arange } from "@x/tensor";
   *
   * const x = arange(24).reshape([2, 3, 4]);
   * console.log(x.slice("...", -1).shape); // → [ 2, 3 ]
   * console.log(await x.slice(1, [0, 2], [null, null, 2]).toArray()); // → [ [ 12, 14 ], [ 16, 18 ] ]
   * ```
   */
  slice(...specs: readonly SliceSpec[]): Tensor {
    const { shape } = this.value;
    const full = withoutEllipsis(specs, shape.length);
    const starts: number[] = [];
    const sizes: number[] = [];
    const steps: number[] = [];
    const result: number[] = [];
    shape.forEach((n, axis) => {
      const spec = full[axis];
      if (typeof spec === "number") {
        starts.push(checkedPosition("slice", spec, n, axis));
        sizes.push(1);
        steps.push(1);
        return;
      }
      const [start = null, stop = null, step = 1] = spec ?? [];
      check(
        Number.isInteger(step) && step >= 1,
        "argument",
        () => `slice: the step must be a whole number above 0, got ${step}. Use flip() to reverse.`,
      );
      const from = clampPosition(start ?? 0, n);
      const length = Math.max(Math.ceil((clampPosition(stop ?? n, n) - from) / step), 0);
      starts.push(from);
      sizes.push(length);
      steps.push(step);
      result.push(length);
    });
    return this.wrap(movement.reshape(movement.slice(this.value, starts, sizes, steps), result));
  }

  /** The part at a position along the first axes: `x.at(1)` is a row, `x.at(1, -1)` its last element. */
  at(...positions: readonly number[]): Tensor {
    return this.slice(...positions);
  }

  /**
   * The part at position `index` of axis `dim`, which is removed.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([[1, 2], [3, 4]]).select(1, -1).toArray()); // → [ 2, 4 ]
   * ```
   */
  select(dim: number, index: number): Tensor {
    const { shape } = this.value;
    const axis = this.#axis("select", dim);
    const start = checkedPosition("select", index, shape[axis]!, axis);
    const part = movement.narrow(this.value, axis, start, 1);
    return this.wrap(movement.reshape(part, shape.toSpliced(axis, 1)));
  }

  /**
   * `length` elements along `dim`, from `start` on.
   *
   * @example
   * ```ts
   * import { arange } from "@x/tensor";
   *
   * console.log(await arange(5).narrow(0, 1, 3).toArray()); // → [ 1, 2, 3 ]
   * ```
   */
  narrow(dim: number, start: number, length: number): Tensor {
    const axis = this.#axis("narrow", dim);
    const n = this.value.shape[axis] ?? 0;
    const from = start < 0 ? start + n : start;
    const fits = Number.isInteger(from) && Number.isInteger(length) && from >= 0 && length >= 0;
    check(
      fits && from + length <= n,
      "argument",
      () =>
        `narrow: start and length must stay within the ${n} elements of axis ${axis}, got ${start} and ${length}. Shorten the window.`,
    );
    return this.wrap(movement.narrow(this.value, axis, from, length));
  }

  /**
   * Parts along `dim`: of `size` elements each, the last perhaps smaller, or of the given sizes.
   *
   * @example
   * ```ts
   * import { arange } from "@x/tensor";
   *
   * console.log(arange(5).split(2).map((part) => part.shape)); // → [ [ 2 ], [ 2 ], [ 1 ] ]
   * ```
   */
  split(size: number | readonly number[], dim: number = 0): Tensor[] {
    const axis = this.#axis("split", dim);
    const n = this.value.shape[axis] ?? 0;
    const sizes = typeof size === "number" ? evenParts("split", n, size) : size;
    check(
      sizes.every((part) => Number.isInteger(part) && part >= 0) &&
        sizes.reduce((sum, part) => sum + part, 0) === n,
      "argument",
      () =>
        `split: sizes must add up to the ${n} elements of axis ${axis}, got [${sizes.join(", ")}]. Correct the sizes.`,
    );
    let start = 0;
    return sizes.map((part) => {
      const value = movement.narrow(this.value, axis, start, part);
      start += part;
      return this.wrap(value);
    });
  }

  /**
   * At most `chunks` parts of equal size along `dim`, the last perhaps smaller.
   *
   * @example
   * ```ts
   * import { arange } from "@x/tensor";
   *
   * console.log(arange(8).chunk(3).map((part) => part.shape)); // → [ [ 3 ], [ 3 ], [ 2 ] ]
   * ```
   */
  chunk(chunks: number, dim: number = 0): Tensor[] {
    const axis = this.#axis("chunk", dim);
    const n = this.value.shape[axis] ?? 0;
    check(
      Number.isInteger(chunks) && chunks >= 1,
      "argument",
      () => `chunk: the number of chunks must be at least 1, got ${chunks}. Use 1 or more.`,
    );
    return this.split(Math.max(Math.ceil(n / chunks), 1), axis);
  }

  /**
   * The parts at every position of `dim`, which is removed.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const [first, second] = tensor([[1, 2], [3, 4]]).unbind();
   * console.log(await first!.toArray(), await second!.toArray()); // → [ 1, 2 ] [ 3, 4 ]
   * ```
   */
  unbind(dim: number = 0): Tensor[] {
    const axis = this.#axis("unbind", dim);
    return Array.from({ length: this.value.shape[axis] ?? 0 }, (_, i) => this.select(axis, i));
  }

  /**
   * Adds `value` around the last axes. `amounts` holds pairs (before, after), the last axis first,
   * as PyTorch's `pad`; negative amounts cut off.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2]).pad([1, 2], 9).toArray()); // → [ 9, 1, 2, 9, 9 ]
   * console.log(await tensor([1, 2, 3]).pad([1, -1]).toArray()); // → [ 0, 1, 2 ]
   * ```
   */
  pad(amounts: readonly number[], value: number = 0): Tensor {
    const { shape } = this.value;
    const { rank } = this;
    const whole = amounts.every((n) => Number.isInteger(n));
    check(
      whole && amounts.length % 2 === 0 && amounts.length <= 2 * rank,
      "argument",
      () =>
        `pad: amounts must be pairs of whole numbers (before, after), at most ${rank}, got [${amounts.join(", ")}]. Start with the last axis.`,
    );
    const before = shape.map((_, i) => amounts[2 * (rank - 1 - i)] ?? 0);
    const after = shape.map((_, i) => amounts[2 * (rank - 1 - i) + 1] ?? 0);
    check(
      shape.every((n, i) => n + before[i]! + after[i]! >= 0 && n + Math.min(before[i]!, 0) >= 0),
      "argument",
      () =>
        `pad: no more may be cut off than is there, got [${amounts.join(", ")}] for shape ${formatShape(shape)}. Cut off less.`,
    );
    check(
      isFloat(this.dtype) || Number.isInteger(value),
      "dtype",
      () =>
        `pad: an integer tensor takes whole numbers only, got ${value}. Cast the tensor to float32.`,
    );
    return this.wrap(padWith(this.value, before, after, value));
  }

  /**
   * The diagonal elements x[i, i + offset] of two axes, as a new last axis.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([[1, 2], [3, 4]]).diagonal().toArray()); // → [ 1, 4 ]
   * ```
   */
  diagonal(offset: number = 0, dim1: number = 0, dim2: number = 1): Tensor {
    const first = this.#axis("diagonal", dim1);
    const second = this.#axis("diagonal", dim2);
    check(
      this.rank >= 2 && first !== second,
      "argument",
      () =>
        `diagonal: two different axes are needed, got ${dim1} and ${dim2} for shape ${formatShape(this.shape)}. Name two axes.`,
    );
    const others = this.shape.map((_, i) => i).filter((i) => i !== first && i !== second);
    let value = movement.permute(this.value, [...others, first, second]);
    const [rows, columns] = value.shape.slice(-2) as [number, number];
    const last = value.shape.length - 1;
    if (offset > 0) {
      const skip = Math.min(offset, columns);
      value = movement.narrow(value, last, skip, columns - skip);
    } else if (offset < 0) {
      const skip = Math.min(-offset, rows);
      value = movement.narrow(value, last - 1, skip, rows - skip);
    }
    return this.wrap(movement.diagonal(value));
  }

  /**
   * The lower triangle of the last two axes, 0 elsewhere: elements with column ≤ row + diagonal.
   *
   * @example
   * ```ts
   * import { ones } from "@x/tensor";
   *
   * console.log(await ones([2, 3]).tril().toArray()); // → [ [ 1, 0, 0 ], [ 1, 1, 0 ] ]
   * ```
   */
  tril(diagonal: number = 0): Tensor {
    return this.#triangle("tril", (row, column) =>
      lessEqual(column, add(row, scalar(diagonal, "int32"))),
    );
  }

  /**
   * The upper triangle of the last two axes, 0 elsewhere: elements with column ≥ row + diagonal.
   *
   * @example
   * ```ts
   * import { ones } from "@x/tensor";
   *
   * console.log(await ones([2, 3]).triu(1).toArray()); // → [ [ 0, 1, 1 ], [ 0, 0, 1 ] ]
   * ```
   */
  triu(diagonal: number = 0): Tensor {
    return this.#triangle("triu", (row, column) =>
      lessEqual(add(row, scalar(diagonal, "int32")), column),
    );
  }

  #triangle(op: string, isInside: (row: Value, column: Value) => Value): Tensor {
    check(
      this.rank >= 2,
      "shape",
      () =>
        `${op}: the tensor must have at least two axes, got shape ${formatShape(this.shape)}. Reshape it to a matrix.`,
    );
    const [rows, columns] = this.shape.slice(-2) as [number, number];
    const row = movement.reshape(iota(rows), [rows, 1]);
    const triangle = where(isInside(row, iota(columns)), this.value, zeroOf(this.value));
    return this.wrap(cast(triangle, this.dtype));
  }

  /**
   * Sliding windows of `size` elements along `dim`, `step` apart, in a new last axis.
   *
   * @example
   * ```ts
   * import { arange } from "@x/tensor";
   *
   * console.log(await arange(5).unfold(0, 3, 2).toArray()); // → [ [ 0, 1, 2 ], [ 2, 3, 4 ] ]
   * ```
   */
  unfold(dim: number, size: number, step: number): Tensor {
    const axis = this.#axis("unfold", dim);
    const n = this.value.shape[axis] ?? 0;
    const fits = Number.isInteger(size) && Number.isInteger(step) && size >= 1 && step >= 1;
    check(
      fits && size <= n,
      "argument",
      () =>
        `unfold: size must lie between 1 and ${n} and step be at least 1, got size ${size} and step ${step}. Choose smaller windows.`,
    );
    return this.wrap(movement.window(this.value, axis, size, step, 1));
  }
}

function withoutEllipsis(
  specs: readonly SliceSpec[],
  rank: number,
): readonly Exclude<SliceSpec, "...">[] {
  const ellipsis = specs.indexOf("...");
  const named = specs.filter((spec) => spec !== "...");
  check(
    named.length <= rank && specs.length - named.length <= 1,
    "argument",
    () =>
      `slice: at most one spec per axis and one "..." may be given, got ${specs.length} for a tensor of rank ${rank}. Leave some out.`,
  );
  if (ellipsis < 0) return named;
  const rest = new Array<null>(rank - named.length).fill(null);
  return named.toSpliced(ellipsis, 0, ...rest);
}

function checkedPosition(op: string, position: number, n: number, axis: number): number {
  const result = position < 0 ? position + n : position;
  check(
    Number.isInteger(position) && result >= 0 && result < n,
    "argument",
    () =>
      `${op}: the position on axis ${axis} must lie between ${-n} and ${n - 1}, got ${position}. Choose a position the tensor has.`,
  );
  return result;
}

function clampPosition(position: number, n: number): number {
  check(
    Number.isInteger(position),
    "argument",
    () => `slice: positions must be whole numbers, got ${position}. Round it.`,
  );
  return Math.min(Math.max(position < 0 ? position + n : position, 0), n);
}

function evenParts(op: string, n: number, size: number): number[] {
  check(
    Number.isInteger(size) && size >= 1,
    "argument",
    () => `${op}: the size of a part must be at least 1, got ${size}. Use a whole number above 0.`,
  );
  const count = Math.max(Math.ceil(n / size), 1);
  return Array.from({ length: count }, (_, i) => Math.min(size, n - i * size));
}

/** `x` padded with `value`: with zeros, then the value wherever nothing of `x` lies. */
function padWith(
  x: Value,
  before: readonly number[],
  after: readonly number[],
  value: number,
): Value {
  const padded = movement.pad(x, before, after);
  if (value === 0) return padded;
  let result = padded;
  padded.shape.forEach((n, axis) => {
    const low = Math.max(before[axis]!, 0);
    const high = n - Math.max(after[axis]!, 0);
    if (low === 0 && high === n) return;
    const shape = padded.shape.map((_, i) => (i === axis ? n : 1));
    const place = movement.reshape(iota(n), shape);
    const filling = scalar(value, zeroOf(x).dtype);
    if (low > 0) result = where(less(place, low), filling, result);
    if (high < n) result = where(less(place, high), result, filling);
  });
  return cast(result, x.dtype);
}
