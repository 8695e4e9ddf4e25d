/** Movement operations as views of the input: an offset and a stride for each axis. */

import type { Attributes } from "../graph/node.js";
import { stridesOf, type Shape } from "../tensor/shape.js";
import { forEachOffset, readView, unknownOperation, type ReferenceArray } from "./array.js";
import { broadcastElements } from "./elementwise.js";

const list = (attribute: unknown): readonly number[] => attribute as readonly number[];

/** Applies a movement operation with result shape `shape`. */
export function computeMovement(
  name: string,
  x: ReferenceArray,
  attributes: Attributes,
  shape: Shape,
): Float64Array {
  const strides = stridesOf(x.shape);
  const dot = (positions: readonly number[]): number =>
    positions.reduce((sum, position, d) => sum + position * strides[d]!, 0);
  switch (name) {
    case "reshape":
      return x.elements;
    case "expand":
      return broadcastElements(x, shape);
    case "permute":
      return readView(
        x.elements,
        shape,
        0,
        list(attributes.axes).map((axis) => strides[axis]!),
      );
    case "slice": {
      const steps = list(attributes.steps);
      return readView(
        x.elements,
        shape,
        dot(list(attributes.starts)),
        strides.map((stride, d) => stride * steps[d]!),
      );
    }
    case "flip": {
      const axes = list(attributes.axes);
      const last = x.shape.map((n, d) => (axes.includes(d) ? n - 1 : 0));
      const reversed = strides.map((stride, d) => (axes.includes(d) ? -stride : stride));
      return readView(x.elements, shape, dot(last), reversed);
    }
    case "window": {
      const { axis, step, dilation } = attributes as Record<string, number>;
      const stride = strides[axis!]!;
      const windows = strides.map((s, d) => (d === axis ? s * step! : s));
      return readView(x.elements, shape, 0, [...windows, stride * dilation!]);
    }
    case "diagonal":
      return readView(x.elements, shape, 0, [
        ...strides.slice(0, -2),
        strides.at(-2)! + strides.at(-1)!,
      ]);
    case "pad":
      return pad(x, shape, list(attributes.before));
    default:
      throw unknownOperation(name);
  }
}

/** Zeros, with the input written over the part it takes. */
function pad(x: ReferenceArray, shape: Shape, before: readonly number[]): Float64Array {
  const strides = stridesOf(shape);
  const offset = before.reduce((sum, n, d) => sum + n * strides[d]!, 0);
  const result = new Float64Array(shape.reduce((size, n) => size * n, 1));
  let next = 0;
  forEachOffset(x.shape, offset, strides, (position) => (result[position] = x.elements[next++]!));
  return result;
}
