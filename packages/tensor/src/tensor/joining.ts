/** Functions of several tensors that have no natural receiver. */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import { where as whereValue } from "../ops/elementwise.js";
import { concatenate, stack as stackValues } from "../ops/join.js";
import { einsum as einsumValues } from "../ops/matmul.js";
import { expand, reshape } from "../ops/movement.js";
import type { DType } from "./dtype.js";
import { operandValue, type Operand } from "./operand.js";
import { broadcastShapes, normalizeAxis } from "./shape.js";
import { Tensor } from "./tensor.js";

function valuesOf(op: string, tensors: readonly Tensor[]): readonly Value[] {
  check(
    tensors.length > 0,
    "argument",
    () => `${op}: at least one tensor is needed, got an empty array. Pass the tensors to join.`,
  );
  return tensors.map((tensor) => tensor.value);
}

/**
 * The tensors one after the other along `dim`; all other sizes must be equal.
 *
 * @example
 * ```ts
 * import { cat, tensor } from "@x/tensor";
 *
 * console.log(await cat([tensor([1, 2]), tensor([3])]).toArray()); // → [ 1, 2, 3 ]
 * ```
 */
export function cat(tensors: readonly Tensor[], dim: number = 0): Tensor {
  const values = valuesOf("cat", tensors);
  const rank = values[0]!.shape.length;
  check(
    rank > 0,
    "shape",
    () => "cat: the tensors must have at least one axis, got shape []. Use stack().",
  );
  return new Tensor(concatenate(values, normalizeAxis("cat", dim, rank)));
}

/**
 * The tensors, all of one shape, side by side along a new axis that becomes axis `dim`.
 *
 * @example
 * ```ts
 * import { stack, tensor } from "@x/tensor";
 *
 * console.log(await stack([tensor([1, 2]), tensor([3, 4])]).toArray()); // → [ [ 1, 2 ], [ 3, 4 ] ]
 * ```
 */
export function stack(tensors: readonly Tensor[], dim: number = 0): Tensor {
  const values = valuesOf("stack", tensors);
  return new Tensor(stackValues(values, normalizeAxis("stack", dim, values[0]!.shape.length + 1)));
}

/**
 * Einstein sum: letters name axes, those missing after the arrow are summed.
 *
 * @example
 * ```ts
 * import { einsum, tensor } from "@x/tensor";
 *
 * const x = tensor([[1, 2], [3, 4]]);
 * console.log(await einsum("ij,ij->i", x, x).toArray()); // → [ 5, 25 ]
 * ```
 */
export function einsum(equation: string, ...tensors: readonly Tensor[]): Tensor {
  return new Tensor(einsumValues(equation, valuesOf("einsum", tensors)));
}

/**
 * `a` where `condition` holds, else `b`; all three broadcast. Two numbers give float32.
 *
 * @example
 * ```ts
 * import { tensor, where } from "@x/tensor";
 *
 * console.log(await where(tensor([true, false]), 1, tensor([5, 6])).toArray()); // → [ 1, 6 ]
 * ```
 */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  const type = (other: Operand): DType => (typeof other === "number" ? "float32" : other.dtype);
  const left = operandValue("where", type(b), a);
  return new Tensor(whereValue(condition.value, left, operandValue("where", type(a), b)));
}

/**
 * Coordinate grids of vectors: result k has the shape of all lengths together and varies along axis
 * k only (`indexing: "ij"`); with `"xy"` the first two axes are swapped.
 *
 * @example
 * ```ts
 * import { arange, meshgrid } from "@x/tensor";
 *
 * const [rows, columns] = meshgrid([arange(2), arange(2)]);
 * console.log(await rows!.toArray(), await columns!.toArray()); // → [ [ 0, 0 ], [ 1, 1 ] ] [ [ 0, 1 ], [ 0, 1 ] ]
 * ```
 */
export function meshgrid(
  tensors: readonly Tensor[],
  options: { indexing?: "ij" | "xy" } = {},
): Tensor[] {
  const values = valuesOf("meshgrid", tensors);
  check(
    values.every((value) => value.shape.length <= 1),
    "shape",
    () => "meshgrid: every tensor must have one axis, got one with more. Flatten it.",
  );
  const lengths = values.map((value) => value.shape[0] ?? 1);
  const grids = values.map((value, axis) => {
    const shape = lengths.map((n, i) => (i === axis ? n : 1));
    return new Tensor(expand(reshape(value, shape), lengths));
  });
  const isSwapped = options.indexing === "xy" && values.length > 1;
  return isSwapped ? grids.map((grid) => grid.transpose(0, 1)) : grids;
}

/**
 * All tensors expanded to the shape they broadcast to.
 *
 * @example
 * ```ts
 * import { broadcastTensors, ones } from "@x/tensor";
 *
 * const [x, y] = broadcastTensors(ones([2, 1]), ones([3]));
 * console.log(x!.shape, y!.shape); // → [ 2, 3 ] [ 2, 3 ]
 * ```
 */
export function broadcastTensors(...tensors: readonly Tensor[]): Tensor[] {
  const values = valuesOf("broadcastTensors", tensors);
  let { shape } = values[0]!;
  for (const value of values) shape = broadcastShapes("broadcastTensors", shape, value.shape);
  return values.map((value) => new Tensor(expand(value, shape)));
}
