/**
 * Coordinates as affine functions of loop counters, followed backwards through movement operations.
 *
 * A kernel walks over loops. Each axis of a value it needs is an affine function of the counters.
 * Going from the result of a movement operation to its input changes these functions and nothing
 * else, which is why transposes, slices and padding cost nothing.
 */

import { XError } from "../error.js";
import type { Node } from "../graph/node.js";
import { stridesOf, type Shape } from "../tensor/shape.js";
import type { Affine } from "./loop.js";

/** The coordinate along each axis of a value. */
export type Coordinates = readonly Affine[];

/** The value exists only where `0 ≤ index < size`; elsewhere it is 0. */
export interface Condition {
  readonly index: Affine;
  readonly size: number;
}

/** Thrown while a kernel is built: loop `loop` must become two, the inner one of size `inner`. */
export class SplitRequest extends Error {
  readonly loop: number;
  readonly inner: number;

  constructor(loop: number, inner: number) {
    super("split");
    this.loop = loop;
    this.inner = inner;
  }
}

/** The counter of one loop. */
export function counter(loop: number, loops: number, scale = 1): Affine {
  const strides = new Array<number>(loops).fill(0);
  strides[loop] = scale;
  return { offset: 0, strides };
}

/** A constant coordinate. */
function fixed(offset: number, loops: number): Affine {
  return { offset, strides: new Array<number>(loops).fill(0) };
}

/** a · scale + offset. */
function scaled(a: Affine, scale: number, offset: number): Affine {
  return { offset: a.offset * scale + offset, strides: a.strides.map((s) => s * scale) };
}

/** a + b. */
export function plus(a: Affine, b: Affine): Affine {
  return { offset: a.offset + b.offset, strides: a.strides.map((s, i) => s + b.strides[i]!) };
}

/** Σ coordinateᵢ · strideᵢ. */
export function linear(
  coordinates: Coordinates,
  strides: readonly number[],
  loops: number,
): Affine {
  let result = fixed(0, loops);
  coordinates.forEach((coordinate, i) => {
    if (strides[i] !== 0) result = plus(result, scaled(coordinate, strides[i]!, 0));
  });
  return result;
}

/** The smallest and largest value over all iterations. */
export function rangeOf(a: Affine, extents: readonly number[]): { low: number; high: number } {
  let low = a.offset;
  let high = a.offset;
  a.strides.forEach((stride, i) => {
    const reach = stride * (extents[i]! - 1);
    if (reach < 0) low += reach;
    else high += reach;
  });
  return { low, high };
}

/** A text that is the same for the same coordinates. */
export function keyOf(coordinates: Coordinates): string {
  return coordinates.map((c) => `${c.offset}:${c.strides.join(",")}`).join(";");
}

/**
 * Splits a flat position into coordinates of `sizes` (row-major), or returns `null` where that is
 * not affine. Asks for a loop to be split where that would make it affine.
 */
function unflatten(flat: Affine, sizes: Shape, extents: readonly number[]): Affine[] | null {
  const result = new Array<Affine>(sizes.length);
  let rest = flat;
  for (let axis = sizes.length - 1; axis > 0; axis--) {
    const size = sizes[axis]!;
    const inner = rest.strides.map((stride, loop) => {
      if (stride % size === 0) return 0;
      const steps = Math.abs(stride);
      if (steps < size && steps * extents[loop]! > size && size % steps === 0) {
        const innerExtent = size / steps;
        if (extents[loop]! % innerExtent === 0) throw new SplitRequest(loop, innerExtent);
      }
      return stride;
    });
    const { low } = rangeOf({ offset: 0, strides: inner }, extents);
    const carry = Math.floor((rest.offset + low) / size);
    const coordinate = { offset: rest.offset - carry * size, strides: inner };
    if (rangeOf(coordinate, extents).high >= size) return null;
    result[axis] = coordinate;
    rest = {
      offset: carry,
      strides: rest.strides.map((stride, loop) => (stride - inner[loop]!) / size),
    };
  }
  result[0] = rest;
  return result;
}

/** Coordinates in the input of a reshape, or `null` where they are not affine. */
function throughReshape(
  coordinates: Coordinates,
  outShape: Shape,
  inShape: Shape,
  extents: readonly number[],
): Coordinates | null {
  const loops = extents.length;
  // Nothing is ever read where there are no elements.
  if (inShape.includes(0)) return inShape.map(() => fixed(0, loops));
  const result = new Array<Affine>(inShape.length);
  let i = inShape.length - 1;
  let o = outShape.length - 1;
  // Groups of axes with equal products, from the right; within a group positions are converted.
  while (i >= 0 || o >= 0) {
    const inEnd = i;
    const outEnd = o;
    let inSize = 1;
    let outSize = 1;
    do {
      if (i >= 0 && (inSize <= outSize || o < 0)) inSize *= inShape[i--]!;
      else outSize *= outShape[o--]!;
    } while (inSize !== outSize);
    const inSizes = inShape.slice(i + 1, inEnd + 1);
    const outSizes = outShape.slice(o + 1, outEnd + 1);
    if (inSizes.length === 0) continue;
    if (inSizes.length === 1 && outSizes.length === 1) {
      result[inEnd] = coordinates[outEnd]!;
      continue;
    }
    const flat = linear(coordinates.slice(o + 1, outEnd + 1), stridesOf(outSizes), loops);
    const parts = unflatten(flat, inSizes, extents);
    if (parts === null) return null;
    parts.forEach((part, k) => (result[i + 1 + k] = part));
  }
  return result;
}

/** Whether a movement leaves its elements in their order: a transposed axis may be of size 1. */
export function keepsOrder({ op, attributes, inputs }: Node): boolean {
  if (op.name === "reshape" || op.name === "after") return true;
  if (op.name !== "permute") return false;
  const moved = (attributes.axes as readonly number[]).filter(
    (axis) => inputs[0]!.shape[axis] !== 1,
  );
  return moved.every((axis, i) => i === 0 || axis > moved[i - 1]!);
}

/** Where a movement node takes its elements from. */
export interface Source {
  readonly coordinates: Coordinates;
  /** For padding: where the input exists; elsewhere the value is 0. */
  readonly conditions: readonly Condition[];
}

/** The coordinates in the input of a movement node (or `after`), given those in its result. */
export function throughMovement(
  node: Node,
  coordinates: Coordinates,
  extents: readonly number[],
): Source | null {
  const loops = extents.length;
  const input = node.inputs[0]!;
  const { attributes } = node;
  const numbers = (name: string): readonly number[] => attributes[name] as readonly number[];
  const number = (name: string): number => attributes[name] as number;
  const plain = (result: Coordinates): Source => ({ coordinates: result, conditions: [] });
  switch (node.op.name) {
    case "reshape": {
      const result = throughReshape(coordinates, node.outputs[0]!.shape, input.shape, extents);
      return result === null ? null : plain(result);
    }
    case "permute": {
      const result = new Array<Affine>(coordinates.length);
      numbers("axes").forEach((axis, i) => (result[axis] = coordinates[i]!));
      return plain(result);
    }
    case "expand":
      return plain(broadcastCoordinates(coordinates, input.shape, node.outputs[0]!.shape, loops));
    case "slice": {
      const starts = numbers("starts");
      const steps = numbers("steps");
      return plain(coordinates.map((c, i) => scaled(c, steps[i]!, starts[i]!)));
    }
    case "flip": {
      const axes = numbers("axes");
      return plain(
        coordinates.map((c, i) => (axes.includes(i) ? scaled(c, -1, input.shape[i]! - 1) : c)),
      );
    }
    case "pad": {
      const before = numbers("before");
      const after = numbers("after");
      const result = coordinates.map((c, i) => scaled(c, 1, -before[i]!));
      const conditions = result.flatMap((index, i) =>
        before[i] === 0 && after[i] === 0 ? [] : [{ index, size: input.shape[i]! }],
      );
      return { coordinates: result, conditions };
    }
    case "window": {
      const result = coordinates.slice(0, -1);
      const axis = number("axis");
      result[axis] = plus(
        scaled(result[axis]!, number("step"), 0),
        scaled(coordinates[coordinates.length - 1]!, number("dilation"), 0),
      );
      return plain(result);
    }
    case "diagonal":
      return plain([...coordinates, coordinates[coordinates.length - 1]!]);
    case "after":
      return plain(coordinates);
    default:
      throw new XError(
        "internal",
        `plan: every movement operation must be known, got ${node.op.name}. Please report this.`,
      );
  }
}

/** Coordinates of an operand that is broadcast to `outShape`. */
export function broadcastCoordinates(
  coordinates: Coordinates,
  inShape: Shape,
  outShape: Shape,
  loops: number,
): Coordinates {
  const lead = outShape.length - inShape.length;
  return inShape.map((n, i) => (n === 1 ? fixed(0, loops) : coordinates[i + lead]!));
}
