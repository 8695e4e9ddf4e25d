/** Between typed arrays and element types. */

import { XError } from "../error.js";
import type { DataOf, DType } from "./dtype.js";

/** A typed array of the right kind over `buffer`. */
export function viewAs(dtype: DType, buffer: ArrayBuffer): DataOf {
  switch (dtype) {
    case "float32":
      return new Float32Array(buffer);
    case "float16":
      return new Uint16Array(buffer);
    case "int32":
      return new Int32Array(buffer);
    case "uint32":
      return new Uint32Array(buffer);
    case "int8":
      return new Int8Array(buffer);
    case "bool":
      return new Uint8Array(buffer);
  }
}

/** Numbers nested as deep as a tensor has axes. */
export type NestedArray = number | boolean | readonly NestedArray[];

/** The shape and the elements, in row-major order, of a nested array; all rows must be equally long. */
export function flatten(
  op: string,
  data: NestedArray,
): { shape: number[]; elements: (number | boolean)[] } {
  const shape: number[] = [];
  for (let level = data; Array.isArray(level); level = level[0] as NestedArray) {
    shape.push(level.length);
    if (level.length === 0) break;
  }
  const elements: (number | boolean)[] = [];
  const visit = (value: NestedArray, depth: number): void => {
    if (depth === shape.length) {
      if (typeof value !== "number" && typeof value !== "boolean") raggedError(op, shape, value);
      elements.push(value);
      return;
    }
    if (!Array.isArray(value) || value.length !== shape[depth]) raggedError(op, shape, value);
    for (const part of value as readonly NestedArray[]) visit(part, depth + 1);
  };
  visit(data, 0);
  return { shape, elements };
}

function raggedError(op: string, shape: readonly number[], value: unknown): never {
  const actual = Array.isArray(value) ? `a row of length ${value.length}` : String(value);
  throw new XError(
    "shape",
    `${op}: every row must have the same length and hold numbers, got ${actual} where the shape [${shape.join(", ")}] was expected. Make the nested array rectangular.`,
  );
}

/** Elements as nested arrays of shape `shape`. */
export function nest(
  shape: readonly number[],
  elements: ArrayLike<number>,
  isBool: boolean,
): unknown {
  let next = 0;
  const build = (depth: number): unknown => {
    if (depth === shape.length) {
      const element = elements[next++]!;
      return isBool ? element !== 0 : element;
    }
    return Array.from({ length: shape[depth]! }, () => build(depth + 1));
  };
  return build(0);
}
