/**
 * Movement operations: they rename elements and move no numbers. The planner follows them while it
 * addresses memory, so a transpose or a slice costs nothing unless a kernel needs dense input.
 */

import { check, XError } from "../error.js";
import { applyOne, makeOp, type Op, type Value } from "../graph/node.js";
import { computeType, type DType } from "../tensor/dtype.js";
import { formatShape, sameShape, sizeOf, type Shape } from "../tensor/shape.js";
import { add, cast, equal, where, zeroOf } from "./elementwise.js";
import { constant, iota } from "./leaf.js";

const list = (attribute: unknown): readonly number[] => attribute as readonly number[];

/** The same elements in row-major order under another shape. */
const reshapeOp: Op = makeOp({
  name: "reshape",
  kind: "movement",
  infer: ([x], { shape }) => [{ shape: list(shape), dtype: x!.dtype }],
  gradient: (node, [g]) => [reshape(g!, node.inputs[0]!.shape)],
});

/** Axis `i` of the result is axis `axes[i]` of the input. */
const permuteOp: Op = makeOp({
  name: "permute",
  kind: "movement",
  infer: ([x], { axes }) => [{ shape: list(axes).map((a) => x!.shape[a]!), dtype: x!.dtype }],
  gradient: (node, [g]) => {
    const axes = list(node.attributes.axes);
    const inverse = new Array<number>(axes.length);
    axes.forEach((axis, i) => (inverse[axis] = i));
    return [permute(g!, inverse)];
  },
});

/** Broadcasts to `shape`. */
export const expandOp: Op = makeOp({
  name: "expand",
  kind: "movement",
  infer: ([x], { shape }) => [{ shape: list(shape), dtype: x!.dtype }],
  // Autograd sums cotangents back to the shape of the input.
  gradient: (_, [g]) => [g!],
});

/** Along axis `i`: elements `starts[i] + j · steps[i]` for `j < shape[i]`. */
const sliceOp: Op = makeOp({
  name: "slice",
  kind: "movement",
  infer: ([x], { shape }) => [{ shape: list(shape), dtype: x!.dtype }],
  gradient: (node, [g]) => {
    const x = node.inputs[0]!;
    const { starts, steps } = node.attributes;
    let result = g!;
    x.shape.forEach((_, axis) => (result = dilate(result, axis, list(steps)[axis]!)));
    const before = list(starts);
    const after = x.shape.map((n, axis) => n - before[axis]! - result.shape[axis]!);
    return [pad(result, before, after)];
  },
});

/** Adds `before[i]` and `after[i]` zeros on axis `i`. */
const padOp: Op = makeOp({
  name: "pad",
  kind: "movement",
  infer: ([x], { before, after }) => [
    {
      shape: x!.shape.map((n, i) => n + list(before)[i]! + list(after)[i]!),
      dtype: x!.dtype,
    },
  ],
  gradient: (node, [g]) => [slice(g!, list(node.attributes.before), node.inputs[0]!.shape, null)],
});

/** Reverses the order along `axes`. */
const flipOp: Op = makeOp({
  name: "flip",
  kind: "movement",
  infer: ([x]) => [x!],
  gradient: (node, [g]) => [flip(g!, list(node.attributes.axes))],
});

/**
 * Sliding windows along `axis`: the axis becomes the number of windows, and a last axis of `size`
 * is added; element (i, j) of the pair is element `i · step + j · dilation`.
 */
const windowOp: Op = makeOp({
  name: "window",
  kind: "movement",
  infer: ([x], { axis, size, step, dilation }) => {
    const shape = [...x!.shape];
    const span = ((size as number) - 1) * (dilation as number) + 1;
    shape[axis as number] = Math.floor((shape[axis as number]! - span) / (step as number)) + 1;
    return [{ shape: [...shape, size as number], dtype: x!.dtype }];
  },
  gradient: (node, [g]) => {
    const { axis, size, step, dilation } = node.attributes as Record<string, number>;
    const x = node.inputs[0]!;
    let result: Value | null = null;
    // Neighbouring elements of a window come from neighbours: those that no other window takes before
    // its own are put back together.
    const most = dilation === 1 ? step! : 1;
    for (let start = 0; start < size!; start += most) {
      const spread = spreadWindows(g!, axis!, start, Math.min(most, size! - start), step!);
      const before = x.shape.map((_, i) => (i === axis ? start * dilation! : 0));
      const after = x.shape.map((n, i) => (i === axis ? n - before[i]! - spread.shape[i]! : 0));
      const padded = pad(spread, before, after);
      result = result === null ? padded : add(result, padded);
    }
    return [result];
  },
});

/** The diagonal of the last two axes of a tensor, as one last axis. */
const diagonalOp: Op = makeOp({
  name: "diagonal",
  kind: "movement",
  infer: ([x]) => {
    const [rows, columns] = x!.shape.slice(-2);
    return [{ shape: [...x!.shape.slice(0, -2), Math.min(rows!, columns!)], dtype: x!.dtype }];
  },
  gradient: (node, [g]) => {
    const [rows, columns] = node.inputs[0]!.shape.slice(-2) as [number, number];
    const length = g!.shape[g!.shape.length - 1]!;
    const before = g!.shape.map(() => 0);
    const after = g!.shape.map((_, i) => (i === g!.shape.length - 1 ? columns - length : 0));
    const row = reshape(pad(g!, before, after), [...g!.shape.slice(0, -1), 1, columns]);
    const onDiagonal = equal(reshape(iota(rows), [rows, 1]), iota(columns));
    return [where(onDiagonal, row, zeroOf(row))];
  },
});

/** `x` under another shape of the same size. */
export function reshape(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  check(
    sizeOf(x.shape) === sizeOf(shape),
    "shape",
    () =>
      `reshape: the number of elements must stay the same, got ${formatShape(x.shape)} to ${formatShape(shape)}. Choose a shape with ${sizeOf(x.shape)} elements.`,
  );
  return applyOne(reshapeOp, [x], { shape });
}

/** `x` with its axes in another order. */
export function permute(x: Value, axes: readonly number[]): Value {
  if (axes.every((axis, i) => axis === i)) return x;
  return applyOne(permuteOp, [x], { axes });
}

/** Swaps two axes (already normalised). */
export function transpose(x: Value, a: number, b: number): Value {
  const axes = x.shape.map((_, i) => (i === a ? b : i === b ? a : i));
  return permute(x, axes);
}

/** Swaps the last two axes. */
export function transposeLast(x: Value): Value {
  return transpose(x, x.shape.length - 2, x.shape.length - 1);
}

/** Broadcasts `x` to `shape`. */
export function expand(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  const lead = shape.length - x.shape.length;
  const fits = lead >= 0 && x.shape.every((n, i) => n === 1 || n === shape[i + lead]);
  if (!fits) {
    throw new XError(
      "shape",
      `expand: sizes must be 1 or stay the same (aligned at the end), got ${formatShape(x.shape)} to ${formatShape(shape)}. Reshape first.`,
    );
  }
  return applyOne(expandOp, [x], { shape });
}

/** Along each axis: `shape[i]` elements from `starts[i]` in steps of `steps[i]` (default 1). */
export function slice(
  x: Value,
  starts: readonly number[],
  shape: Shape,
  steps: readonly number[] | null,
): Value {
  if (sameShape(x.shape, shape) && (steps === null || steps.every((s) => s === 1))) return x;
  return applyOne(sliceOp, [x], { starts, shape, steps: steps ?? shape.map(() => 1) });
}

/** The part `start … start + length − 1` of one axis. */
export function narrow(x: Value, axis: number, start: number, length: number): Value {
  return slice(
    x,
    x.shape.map((_, i) => (i === axis ? start : 0)),
    x.shape.map((n, i) => (i === axis ? length : n)),
    null,
  );
}

/** Pads with zeros; negative amounts cut off. */
export function pad(x: Value, before: readonly number[], after: readonly number[]): Value {
  let result = x;
  if (before.some((n) => n < 0) || after.some((n) => n < 0)) {
    const cutBefore = before.map((n) => Math.max(-n, 0));
    const shape = x.shape.map((n, i) => n - cutBefore[i]! - Math.max(-after[i]!, 0));
    result = slice(x, cutBefore, shape, null);
  }
  const positive = (n: number): number => Math.max(n, 0);
  if (before.every((n) => n <= 0) && after.every((n) => n <= 0)) return result;
  return applyOne(padOp, [result], { before: before.map(positive), after: after.map(positive) });
}

/** Reverses `axes`. */
export function flip(x: Value, axes: readonly number[]): Value {
  return axes.length === 0 ? x : applyOne(flipOp, [x], { axes });
}

/** Sliding windows; see `windowOp`. */
export function window(
  x: Value,
  axis: number,
  size: number,
  step: number,
  dilation: number,
): Value {
  return applyOne(windowOp, [x], { axis, size, step, dilation });
}

/** The diagonal of the last two axes. */
export function diagonal(x: Value): Value {
  return applyOne(diagonalOp, [x]);
}

/**
 * The elements `start` … `start + width − 1` of each window, where the windows lie: along `axis`, each
 * window `step` after the one before, zeros between them. The width is at most the step.
 */
function spreadWindows(
  windows: Value,
  axis: number,
  start: number,
  width: number,
  step: number,
): Value {
  const last = windows.shape.length - 1;
  const places = windows.shape.map((_, i) => i).toSpliced(last, 1);
  const rows = permute(narrow(windows, last, start, width), places.toSpliced(axis + 1, 0, last));
  const nothing = rows.shape.map(() => 0);
  const padded = pad(rows, nothing, nothing.with(axis + 1, step - width));
  const count = windows.shape[axis]!;
  const merged = windows.shape.toSpliced(last, 1).with(axis, count * step);
  return narrow(reshape(padded, merged), axis, 0, (count - 1) * step + width);
}

/** Puts `step − 1` zeros between neighbours along `axis`. */
function dilate(x: Value, axis: number, step: number): Value {
  const n = x.shape[axis]!;
  if (step === 1 || n === 0) return x;
  const split = x.shape.toSpliced(axis + 1, 0, 1);
  const after = split.map((_, i) => (i === axis + 1 ? step - 1 : 0));
  const padded = pad(
    reshape(x, split),
    split.map(() => 0),
    after,
  );
  const merged = x.shape.with(axis, n * step);
  return narrow(reshape(padded, merged), axis, 0, (n - 1) * step + 1);
}

/** A tensor of `shape` filled with a constant. */
export function full(shape: Shape, value: number, dtype: DType): Value {
  return cast(expand(constant(value, computeType(dtype)), shape), dtype);
}
