/** Reductions: the reduced axes last, then one row after the other. */

import type { Reducer } from "../graph/scalar-function.js";
import type { DType } from "../tensor/dtype.js";
import { sizeOf, stridesOf } from "../tensor/shape.js";
import { readView, unknownOperation, type ReferenceArray } from "./array.js";
import { wrap } from "./elementwise.js";

/** Joins the elements of `x` along `axes`. */
export function computeReduction(
  name: string,
  x: ReferenceArray,
  axes: readonly number[],
): Float64Array {
  const strides = stridesOf(x.shape);
  const kept = x.shape.map((_, d) => d).filter((d) => !axes.includes(d));
  const order = [...kept, ...x.shape.map((_, d) => d).filter((d) => axes.includes(d))];
  const elements = readView(
    x.elements,
    order.map((d) => x.shape[d]!),
    0,
    order.map((d) => strides[d]!),
  );
  const rows = sizeOf(kept.map((d) => x.shape[d]!));
  const columns = sizeOf(axes.map((d) => x.shape[d]!));
  const join = reducer(name as Reducer, x.dtype);
  return Float64Array.from({ length: rows }, (_, row) =>
    join(elements.subarray(row * columns, (row + 1) * columns)),
  );
}

function reducer(name: Reducer, dtype: DType): (row: Float64Array) => number {
  const isInteger = dtype === "int32" || dtype === "uint32";
  const times = isInteger ? Math.imul : (a: number, b: number): number => a * b;
  switch (name) {
    case "sum":
      return (row) => row.reduce((sum, x) => wrap(sum + x, dtype), 0);
    case "product":
      return (row) => row.reduce((product, x) => wrap(times(product, x), dtype), 1);
    case "max":
      return (row) => row[firstExtreme(row, (a, b) => a > b)]!;
    case "min":
      return (row) => row[firstExtreme(row, (a, b) => a < b)]!;
    case "argmax":
      return (row) => firstExtreme(row, (a, b) => a > b);
    case "argmin":
      return (row) => firstExtreme(row, (a, b) => a < b);
    default:
      throw unknownOperation(name);
  }
}

/** The first position that no other beats; the first NaN if there is one. */
function firstExtreme(row: Float64Array, beats: (a: number, b: number) => boolean): number {
  let best = 0;
  for (let i = 0; i < row.length; i++) {
    if (Number.isNaN(row[i]!)) return i;
    if (beats(row[i]!, row[best]!)) best = i;
  }
  return best;
}
