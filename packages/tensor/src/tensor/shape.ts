/** Shapes: sizes per axis, axis numbers, broadcasting. All are checked here, where they enter. */

import { check, XError } from "../error.js";

/** The size along each axis; `[]` is a scalar. Sizes are whole numbers ≥ 0. */
export type Shape = readonly number[];

/** Number of elements of a shape: the product of its sizes, 1 for a scalar. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

/** A shape for people: `[2, 3]`. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** The shapes of tensors for people: `[2, 3], [3]`. */
export function formatShapes(...tensors: readonly { readonly shape: Shape }[]): string {
  return tensors.map(({ shape }) => formatShape(shape)).join(", ");
}

/** Whether two shapes are the same. */
export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Checks that every size is a whole number ≥ 0. */
export function checkShape(op: string, shape: Shape): void {
  for (const n of shape) {
    check(
      Number.isSafeInteger(n) && n >= 0,
      "shape",
      () =>
        `${op}: sizes must be whole numbers of at least 0, got ${formatShape(shape)}. Correct the shape.`,
    );
  }
}

/** Axis `axis` counted from the end where negative, checked against `rank` axes. */
export function normalizeAxis(op: string, axis: number, rank: number): number {
  const result = axis < 0 ? axis + rank : axis;
  check(
    Number.isInteger(axis) && result >= 0 && result < Math.max(rank, 1),
    "argument",
    () =>
      `${op}: axis must lie between ${-rank} and ${rank - 1} for a tensor of rank ${rank}, got ${axis}. Name an axis the tensor has.`,
  );
  return result;
}

/** Several axes, normalised, sorted and checked for repeats; `undefined` means all of them. */
export function normalizeAxes(
  op: string,
  axes: number | readonly number[] | undefined,
  rank: number,
): readonly number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  if (typeof axes === "number") return rank === 0 ? [] : [normalizeAxis(op, axes, rank)];
  const result = axes.map((axis) => normalizeAxis(op, axis, rank)).sort((a, b) => a - b);
  check(
    new Set(result).size === result.length,
    "argument",
    () => `${op}: each axis may be named once, got [${axes.join(", ")}]. Remove the repeated axis.`,
  );
  return result;
}

/** Row-major strides, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

/** The shape two shapes broadcast to, by NumPy's rule: aligned at the end, sizes equal or 1. */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a;
  const rank = Math.max(a.length, b.length);
  const result = new Array<number>(rank);
  for (let i = 0; i < rank; i++) {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new XError(
        "shape",
        `${op}: shapes must broadcast (equal or 1 on each axis, aligned at the end), got ${formatShape(a)} and ${formatShape(b)}. Reshape or expand one of them.`,
      );
    }
    result[i] = x === 1 ? y : x;
  }
  return result;
}
