/** For tests of attention kernels: rows of heads, [batch, heads, length, size]. */

import type { Node, Value } from "../../src/graph/node.js";
import type { DataOf } from "../../src/tensor/dtype.js";
import { generator, type View } from "./run-kernel.js";

/** Rows as they come from a projection: [batch, length, heads, size]. */
export function projected({ shape, dtype }: Value): View | null {
  if (shape.length !== 4 || dtype !== "float32") return null;
  const [, heads, length, size] = shape as [number, number, number, number];
  return { offset: 0, strides: [heads * length * size, size, heads * size, 1] };
}

/** Last visible keys of `queries` queries, from −1 on, in any order. */
export function lastKeys(queries: number, keys: number, seed: number): Int32Array {
  const random = generator(seed);
  return Int32Array.from({ length: queries }, () => Math.floor(random() * (keys + 1)) - 1);
}

/** Some rows of every head. */
export function rowsOf(
  data: Float32Array,
  length: number,
  start: number,
  count: number,
  size: number,
): Float32Array {
  const heads = data.length / (length * size);
  const result = new Float32Array(heads * count * size);
  for (let h = 0; h < heads; h++) {
    const from = (h * length + start) * size;
    result.set(data.subarray(from, from + count * size), h * count * size);
  }
  return result;
}

/** The rows of a result, each as text of its bits. */
export function rowBits(result: DataOf, size: number): string[] {
  const words = new Uint32Array(result.buffer, result.byteOffset, result.length);
  return Array.from({ length: result.length / size }, (_, i) =>
    words.subarray(i * size, (i + 1) * size).join(),
  );
}

/** Puts a value in place of the rows that `affects` names. */
export function disturbed(
  data: DataOf,
  size: number,
  affects: (row: number) => boolean,
  value: number,
): DataOf {
  return Float32Array.from(data, (own, j) => (affects(Math.floor(j / size)) ? value : own));
}

/** Does so in some inputs of a node. */
export function disturbedInputs(
  data: readonly DataOf[],
  node: Node,
  inputs: readonly number[],
  affects: (row: number) => boolean,
  value: number,
): DataOf[] {
  return data.map((x, i) =>
    inputs.includes(i) ? disturbed(x, node.inputs[i]!.shape[3] ?? 1, affects, value) : x,
  );
}
