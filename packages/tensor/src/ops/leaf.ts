/** Operations without inputs: stored data, constants, runtime scalars, counters. */

import type { Device } from "../device/device.js";
import { applyOne, makeOp, Node, noAttributes, type Op, type Value } from "../graph/node.js";
import type { Storage } from "../graph/storage.js";
import type { DType } from "../tensor/dtype.js";
import type { Shape } from "../tensor/shape.js";

/** Numbers that exist already. Its one value has a `Storage`. */
export const inputOp: Op = makeOp({
  name: "input",
  kind: "leaf",
  // Leaves made of storage get their shape from `input` below.
  infer: () => [],
});

const constantOp = makeOp({
  name: "constant",
  kind: "leaf",
  infer: (_, { dtype }) => [{ shape: [], dtype: dtype as DType }],
});

const scalarOp = makeOp({
  name: "scalar",
  kind: "leaf",
  infer: (_, { dtype }) => [{ shape: [], dtype: dtype as DType }],
});

const iotaOp = makeOp({
  name: "iota",
  kind: "leaf",
  infer: (_, { length }) => [{ shape: [length as number], dtype: "int32" }],
});

/** A leaf that owns stored numbers. */
export function input(
  storage: Storage,
  shape: Shape,
  dtype: DType,
  device: Device,
  requiresGradient = false,
): Value {
  const node = new Node(
    inputOp,
    [],
    noAttributes,
    [{ shape, dtype }],
    device,
    requiresGradient,
    null,
  );
  const value = node.outputs[0]!;
  value.storage = storage;
  value.version = storage.version;
  return value;
}

/** Turns a computed value into a leaf that owns `storage`, dropping its history. */
export function becomeLeaf(value: Value, storage: Storage): void {
  if (value.tracked && value.node.op.differentiable) value.severed = true;
  const node = new Node(inputOp, [], noAttributes, [], value.device, false, null);
  (node.outputs as Value[]).push(value);
  value.node = node;
  value.index = 0;
  value.storage = storage;
  value.version = storage.version;
  value.home = null;
  value.isInitial = false;
  value.group = null;
}

/** A number that is part of the plan. */
export function constant(value: number, dtype: DType = "float32"): Value {
  return applyOne(constantOp, [], { value, dtype });
}

let insideDefinition = false;

/** A number that may differ at every run of the plan; inside a definition, a constant. */
export function scalar(value: number, dtype: DType = "float32"): Value {
  if (insideDefinition) return constant(value, dtype);
  return applyOne(scalarOp, [], { dtype }, value);
}

/**
 * Runs the definition of a primitive: the numbers in it are part of its meaning, not runtime scalars
 * of the graph that uses it.
 */
export function withConstants<T>(definition: () => T): T {
  const before = insideDefinition;
  insideDefinition = true;
  try {
    return definition();
  } finally {
    insideDefinition = before;
  }
}

/** 0, 1, … length − 1 as int32. */
export function iota(length: number): Value {
  return applyOne(iotaOp, [], { length });
}
