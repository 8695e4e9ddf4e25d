/** The arrays of the reference: float64 elements with a shape and the element type they stand for. */

import { XError } from "../error.js";
import type { DType } from "../tensor/dtype.js";
import { sizeOf, type Shape } from "../tensor/shape.js";

/**
 * The numbers of one value, in row-major order. Elements are never changed once they are made, so
 * arrays may share them.
 *
 * float32 elements keep all the precision of float64; elements of the other types are values that
 * the type can hold (bool: 0 and 1).
 */
export interface ReferenceArray {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly elements: Float64Array;
}

/**
 * A dense copy of a view: element (c₀, c₁, …) of the result is element `offset + Σ strides[d] · c_d`
 * of `source`.
 */
export function readView(
  source: Float64Array,
  shape: Shape,
  offset: number,
  strides: readonly number[],
): Float64Array {
  const result = new Float64Array(sizeOf(shape));
  let next = 0;
  forEachOffset(shape, offset, strides, (position) => (result[next++] = source[position]!));
  return result;
}

/** Calls `visit` with `offset + Σ strides[d] · c_d` for every coordinate of `shape`, in row-major order. */
export function forEachOffset(
  shape: Shape,
  offset: number,
  strides: readonly number[],
  visit: (position: number) => void,
): void {
  const size = sizeOf(shape);
  const coordinates = shape.map(() => 0);
  let position = offset;
  for (let i = 0; i < size; i++) {
    visit(position);
    for (let d = shape.length - 1; d >= 0; d--) {
      position += strides[d]!;
      if (++coordinates[d]! < shape[d]!) break;
      position -= strides[d]! * shape[d]!;
      coordinates[d] = 0;
    }
  }
}

/** A shape around one of its axes: sizes before, on and after it. */
export interface Split {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

/** Splits a shape at `axis`: element (o, i, n) stands at `(o · size + i) · inner + n`. */
export function splitAt(shape: Shape, axis: number): Split {
  return {
    outer: sizeOf(shape.slice(0, axis)),
    size: shape[axis]!,
    inner: sizeOf(shape.slice(axis + 1)),
  };
}

/** `index` limited to 0 … size − 1; what indices out of range mean on every device. */
export function clampIndex(index: number, size: number): number {
  return Math.min(Math.max(index, 0), size - 1);
}

/** What to throw at an operation that the reference lacks. */
export function unknownOperation(name: string): XError {
  return new XError(
    "internal",
    `reference: every operation of the vocabulary must have a meaning, got "${name}". Add it to the reference device.`,
  );
}
