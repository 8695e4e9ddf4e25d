/** Movement operations as views of the input: an offset and a stride for each axis. */

import type { Attributes } from "../graph/node.js";
import { sizeOf, stridesOf, type Shape } from "../tensor/shape.js";
import { readView, unknownOperation, type ReferenceArray } from "./array.js";
import { broadcastElements } from "./elementwise.js";
import { write } from "./indexing.js";

const list = (attribute: unknown): readonly number[] => attribute as readonly number[];

/** Applies a movement operation with result shape `shape`. */
export function computeMovement(
  name: string,
  x: ReferenceArray,
  attributes: Attributes,
  shape: Shape,
): Float64Array {
  const strides = stridesOf(x.shape);
  const view = (offset: number, of: readonly number[]): Float64Array =>
    readView(x.elements, shape, offset, of);
  const dot = (positions: readonly number[], of: readonly number[]): number =>
    positions.reduce((sum, position, d) => sum + position * of[d]!, 0);
  const { axis } = attributes as { axis: number };
  const axes = list(attributes.axes);
  switch (name) {
    case "reshape":
      return x.elements;
    case "expand":
      return broadcastElements(x, shape);
    case "permute":
      return view(
        0,
        axes.map((axis) => strides[axis]!),
      );
    case "slice": {
      const steps = list(attributes.steps);
      const start = dot(list(attributes.starts), strides);
      return view(
        start,
        strides.map((stride, d) => stride * steps[d]!),
      );
    }
    case "flip":
      return view(
        dot(
          x.shape.map((n, d) => (axes.includes(d) ? n - 1 : 0)),
          strides,
        ),
        strides.map((stride, d) => (axes.includes(d) ? -stride : stride)),
      );
    case "window": {
      const { step, dilation } = attributes as { step: number; dilation: number };
      const stride = strides[axis]!;
      return view(0, [...strides.with(axis, stride * step), stride * dilation]);
    }
    case "diagonal":
      return view(0, [...strides.slice(0, -2), strides.at(-2)! + strides.at(-1)!]);
    case "pad": {
      const padded = stridesOf(shape);
      const result = new Float64Array(sizeOf(shape));
      write(result, x, dot(list(attributes.before), padded), padded);
      return result;
    }
    default:
      throw unknownOperation(name);
  }
}
