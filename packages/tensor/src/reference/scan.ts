/** Scans: every element joined with those before it on one axis. */

import { splitAt, unknownOperation, type ReferenceArray } from "./array.js";
import { wrap } from "./elementwise.js";

/** Applies a scan along `axis`; the extremes give their values and the positions they came from. */
export function computeScan(
  name: string,
  x: ReferenceArray,
  axis: number,
): readonly Float64Array[] {
  switch (name) {
    case "cumulativeSum":
      return [accumulate(x, axis, (sum, element) => wrap(sum + element, x.dtype))];
    case "cumulativeProduct": {
      const times = x.dtype === "float32" ? (a: number, b: number): number => a * b : Math.imul;
      return [accumulate(x, axis, (product, element) => wrap(times(product, element), x.dtype))];
    }
    case "cumulativeMax":
      return extremes(x, axis, (a, b) => a >= b);
    case "cumulativeMin":
      return extremes(x, axis, (a, b) => a <= b);
    default:
      throw unknownOperation(name);
  }
}

function accumulate(
  x: ReferenceArray,
  axis: number,
  join: (before: number, element: number) => number,
): Float64Array {
  const { size, inner } = splitAt(x.shape, axis);
  const result = x.elements.slice();
  for (let i = 0; i < result.length; i++) {
    const isFirst = Math.floor(i / inner) % size === 0;
    if (!isFirst) result[i] = join(result[i - inner]!, x.elements[i]!);
  }
  return result;
}

/** At ties the later position counts; NaN beats everything. */
function extremes(
  x: ReferenceArray,
  axis: number,
  reaches: (element: number, before: number) => boolean,
): readonly Float64Array[] {
  const { size, inner } = splitAt(x.shape, axis);
  const values = x.elements.slice();
  const indices = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const position = Math.floor(i / inner) % size;
    const isExtreme =
      position === 0 || Number.isNaN(x.elements[i]!) || reaches(x.elements[i]!, values[i - inner]!);
    values[i] = isExtreme ? x.elements[i]! : values[i - inner]!;
    indices[i] = isExtreme ? position : indices[i - inner]!;
  }
  return [values, indices];
}
