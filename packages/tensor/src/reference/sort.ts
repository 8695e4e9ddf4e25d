/** Stable sorting. */

import { splitAt, type ReferenceArray } from "./array.js";

/** Sorted elements and the positions they came from. NaN counts as larger than every number. */
export function computeSort(
  x: ReferenceArray,
  axis: number,
  descending: boolean,
): readonly Float64Array[] {
  const { outer, size, inner } = splitAt(x.shape, axis);
  const values = new Float64Array(x.elements.length);
  const indices = new Float64Array(x.elements.length);
  for (let o = 0; o < outer; o++) {
    for (let n = 0; n < inner; n++) {
      const at = (i: number): number => (o * size + i) * inner + n;
      const order = Array.from({ length: size }, (_, i) => i).sort((i, j) => {
        const difference = compare(x.elements[at(i)]!, x.elements[at(j)]!);
        return descending ? -difference : difference;
      });
      order.forEach((from, to) => {
        values[at(to)] = x.elements[at(from)]!;
        indices[at(to)] = from;
      });
    }
  }
  return [values, indices];
}

function compare(a: number, b: number): number {
  const aIsNaN = Number.isNaN(a);
  const bIsNaN = Number.isNaN(b);
  if (aIsNaN || bIsNaN) return Number(aIsNaN) - Number(bIsNaN);
  return a < b ? -1 : a > b ? 1 : 0;
}
