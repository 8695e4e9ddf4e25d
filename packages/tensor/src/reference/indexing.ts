/** Indexing, scattering, joining and windows at positions that are data. */

import { stridesOf, sizeOf, type Shape } from "../tensor/shape.js";
import {
  clampIndex,
  forEachOffset,
  readView,
  unknownOperation,
  type ReferenceArray,
} from "./array.js";
import { wrap } from "./elementwise.js";

/** Applies an indexing operation along `axis` with result shape `shape`. */
export function computeIndexing(
  name: string,
  inputs: readonly ReferenceArray[],
  axis: number,
  shape: Shape,
): Float64Array {
  const [x, second, third] = inputs as [ReferenceArray, ReferenceArray, ReferenceArray];
  const strides = stridesOf(x.shape);
  switch (name) {
    case "take":
    case "gather":
      return positionsOf(name, x.shape, axis, second).map((position) => x.elements[position]!);
    case "indexAdd":
    case "scatter":
    case "scatterAdd": {
      const result = x.elements.slice();
      positionsOf(name, x.shape, axis, second).forEach((position, i) => {
        const before = name === "scatter" ? 0 : result[position]!;
        result[position] = wrap(before + third.elements[i]!, x.dtype);
      });
      return result;
    }
    case "dynamicSlice":
      return readView(x.elements, shape, windowOffset(x.shape, axis, shape, second), strides);
    case "dynamicUpdate": {
      const result = x.elements.slice();
      write(result, second, windowOffset(x.shape, axis, second.shape, third), strides);
      return result;
    }
    case "concatenate": {
      const result = new Float64Array(sizeOf(shape));
      const joined = stridesOf(shape);
      let start = 0;
      for (const input of inputs) {
        write(result, input, start * joined[axis]!, joined);
        start += input.shape[axis]!;
      }
      return result;
    }
    default:
      throw unknownOperation(name);
  }
}

/** Writes the elements of `source` to the places of `target` that a view of its shape names. */
export function write(
  target: Float64Array,
  source: ReferenceArray,
  offset: number,
  strides: readonly number[],
): void {
  let next = 0;
  forEachOffset(source.shape, offset, strides, (position) => {
    target[position] = source.elements[next++]!;
  });
}

/**
 * The position in an array of shape `shape` of each element that an index names: one a row of the
 * other axes (`take`, `indexAdd`), or one for itself, aligned with the array (`gather`, `scatter`).
 */
function positionsOf(
  name: string,
  shape: Shape,
  axis: number,
  index: ReferenceArray,
): Float64Array {
  const isShared = name === "take" || name === "indexAdd";
  const strides = stridesOf(shape);
  const none = index.shape.map(() => 0);
  const view = isShared ? shape.toSpliced(axis, 1, ...index.shape) : index.shape;
  const across = isShared ? strides.toSpliced(axis, 1, ...none) : strides.with(axis, 0);
  const own = stridesOf(index.shape);
  const along = isShared ? shape.map(() => 0).toSpliced(axis, 1, ...own) : own;
  const result = readView(index.elements, view, 0, along);
  let next = 0;
  forEachOffset(view, 0, across, (position) => {
    result[next] = position + clampIndex(result[next]!, shape[axis]!) * strides[axis]!;
    next++;
  });
  return result;
}

function windowOffset(shape: Shape, axis: number, window: Shape, start: ReferenceArray): number {
  const latest = shape[axis]! - window[axis]!;
  return Math.min(Math.max(start.elements[0]!, 0), latest) * stridesOf(shape)[axis]!;
}
