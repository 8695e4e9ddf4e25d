/** Methods of tensors that rearrange elements: views, slices, padding, repetition. */

import { check, XError } from "../error.js";
import type { Value } from "../graph/node.js";
import { add, cast, less, lessEqual, where, zeroOf } from "../ops/elementwise.js";
import { concatenate } from "../ops/join.js";
import { constant, iota, scalar } from "../ops/leaf.js";
import * as movement from "../ops/movement.js";
import { isFloat } from "./dtype.js";
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
    return this.reshape([...shape.slice(0, axis), ...parts, ...shape.slice(axis + 1)]);
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
    return this.wrap(
      movement.reshape(this.value, [...shape.slice(0, axis), 1, ...shape.slice(axis)]),
    );
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
    return this.wrap(movement.reshape(part, [...shape.slice(0, axis), ...shape.slice(axis + 1)]));
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
  return [...named.slice(0, ellipsis), ...rest, ...named.slice(ellipsis)];
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
    if (low > 0) result = where(less(place, constant(low, "int32")), filling, result);
    if (high < n) result = where(less(place, constant(high, "int32")), result, filling);
  });
  return cast(result, x.dtype);
}
