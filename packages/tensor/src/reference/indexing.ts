/** Indexing, scattering, joining and windows at positions that are data. */

import { sizeOf, stridesOf, type Shape } from "../tensor/shape.js";
import {
  clampIndex,
  forEachOffset,
  readView,
  splitAt,
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
  switch (name) {
    case "take":
      return take(x, axis, second);
    case "indexAdd":
      return indexAdd(x, axis, second, third);
    case "gather": {
      const positions = alignedPositions(x.shape, axis, second);
      return positions.map((position) => x.elements[position]!);
    }
    case "scatter": {
      const result = x.elements.slice();
      alignedPositions(x.shape, axis, second).forEach((position, i) => {
        result[position] = third.elements[i]!;
      });
      return result;
    }
    case "scatterAdd": {
      const result = x.elements.slice();
      alignedPositions(x.shape, axis, second).forEach((position, i) => {
        result[position] = wrap(result[position]! + third.elements[i]!, x.dtype);
      });
      return result;
    }
    case "dynamicSlice":
      return readView(
        x.elements,
        shape,
        windowOffset(x.shape, axis, shape, second),
        stridesOf(x.shape),
      );
    case "dynamicUpdate": {
      const result = x.elements.slice();
      const offset = windowOffset(x.shape, axis, second.shape, third);
      write(result, second, offset, stridesOf(x.shape));
      return result;
    }
    case "concatenate":
      return concatenate(inputs, axis, shape);
    default:
      throw unknownOperation(name);
  }
}

function write(
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

/** Element (o, i, n) of the result is element (o, index[i], n) of `x`. */
function take(x: ReferenceArray, axis: number, index: ReferenceArray): Float64Array {
  const { outer, size, inner } = splitAt(x.shape, axis);
  const count = index.elements.length;
  const result = new Float64Array(outer * count * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < count; i++) {
      const from = o * size + clampIndex(index.elements[i]!, size);
      const row = x.elements.subarray(from * inner, (from + 1) * inner);
      result.set(row, (o * count + i) * inner);
    }
  }
  return result;
}

/** Element (o, i, n) of `source` is added to element (o, index[i], n). */
function indexAdd(
  base: ReferenceArray,
  axis: number,
  index: ReferenceArray,
  source: ReferenceArray,
): Float64Array {
  const { outer, size, inner } = splitAt(base.shape, axis);
  const count = index.elements.length;
  const result = base.elements.slice();
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < count; i++) {
      const to = (o * size + clampIndex(index.elements[i]!, size)) * inner;
      const from = (o * count + i) * inner;
      for (let n = 0; n < inner; n++) {
        result[to + n] = wrap(result[to + n]! + source.elements[from + n]!, base.dtype);
      }
    }
  }
  return result;
}

/** For each element of `index`: the place with the same coordinates, except along `axis` the one it names. */
function alignedPositions(shape: Shape, axis: number, index: ReferenceArray): Float64Array {
  const strides = stridesOf(shape);
  const result = new Float64Array(index.elements.length);
  let next = 0;
  const across = strides.map((stride, d) => (d === axis ? 0 : stride));
  forEachOffset(index.shape, 0, across, (position) => {
    const along = clampIndex(index.elements[next]!, shape[axis]!);
    result[next++] = position + along * strides[axis]!;
  });
  return result;
}

/** Where a window begins; its start is moved so that the window fits. */
function windowOffset(shape: Shape, axis: number, window: Shape, start: ReferenceArray): number {
  const latest = shape[axis]! - window[axis]!;
  return Math.min(Math.max(start.elements[0]!, 0), latest) * stridesOf(shape)[axis]!;
}

function concatenate(inputs: readonly ReferenceArray[], axis: number, shape: Shape): Float64Array {
  const result = new Float64Array(sizeOf(shape));
  const strides = stridesOf(shape);
  let start = 0;
  for (const input of inputs) {
    write(result, input, start * strides[axis]!, strides);
    start += input.shape[axis]!;
  }
  return result;
}
