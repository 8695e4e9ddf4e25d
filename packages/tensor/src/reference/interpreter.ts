/** The interpreter: one node after the other, every result in memory until its last use. */

import type { ProfileSink } from "../device/device.js";
import type { Graph } from "../graph/graph.js";
import type { Node, Value } from "../graph/node.js";
import { unknownOperation, type ReferenceArray } from "./array.js";
import { computeElementwise, wrap } from "./elementwise.js";
import { computeIndexing } from "./indexing.js";
import { computeKernelHalving } from "./kernel-halving.js";
import { computeMatmul } from "./matmul.js";
import { computeMovement } from "./movement.js";
import { computeReduction } from "./reduce.js";
import { computeScan } from "./scan.js";
import { computeSort } from "./sort.js";

/** What a graph is computed from. */
export interface Given {
  /** The elements of each graph input. */
  readonly inputs: readonly Float64Array[];
  /** The number of each runtime scalar. */
  readonly scalars: readonly number[];
  readonly profile: ProfileSink | null;
  /** Stands between the interpreter and its arithmetic, e.g. to study rounding. */
  readonly intercept?: Intercept;
}

/** Computes a node in place of `computeNode`, as a rule by calling it. */
export type Intercept = (node: Node, inputs: readonly ReferenceArray[]) => readonly Float64Array[];

/** Computes a graph without primitives; gives the elements of its outputs. */
export function interpret(graph: Graph, given: Given): readonly Float64Array[] {
  const results = new Map<Value, ReferenceArray>();
  const keep = (value: Value, elements: Float64Array): void => {
    results.set(value, { shape: value.shape, dtype: value.dtype, elements });
  };
  graph.inputs.forEach((input, i) => keep(input, given.inputs[i]!));
  graph.scalars.forEach((node, i) => {
    const [output] = node.outputs;
    keep(output!, Float64Array.of(wrap(given.scalars[i]!, output!.dtype)));
  });
  const lastUses = findLastUses(graph);
  const { intercept } = given;
  for (const node of graph.nodes) {
    if (!results.has(node.outputs[0]!)) {
      const inputs = node.inputs.map((input) => results.get(input)!);
      const start = performance.now();
      const outputs = intercept ? intercept(node, inputs) : computeNode(node, inputs);
      given.profile?.kernel(node.op.name, performance.now() - start, bytesMoved(inputs, outputs));
      node.outputs.forEach((output, i) => keep(output, outputs[i]!));
    }
    for (const value of lastUses.get(node) ?? []) results.delete(value);
  }
  return graph.outputs.map((output) => results.get(output)!.elements);
}

/** For each node: the values that nobody needs after it. */
function findLastUses(graph: Graph): Map<Node, Value[]> {
  const seen = new Set<Value>(graph.outputs);
  const lastUses = new Map<Node, Value[]>();
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i]!;
    for (const value of node.inputs) {
      if (seen.has(value)) continue;
      seen.add(value);
      const values = lastUses.get(node);
      if (values === undefined) lastUses.set(node, [value]);
      else values.push(value);
    }
  }
  return lastUses;
}

function bytesMoved(inputs: readonly ReferenceArray[], outputs: readonly Float64Array[]): number {
  const read = inputs.reduce((sum, input) => sum + input.elements.byteLength, 0);
  return outputs.reduce((sum, output) => sum + output.byteLength, read);
}

/** Computes one node that is not a primitive. */
export function computeNode(
  node: Node,
  inputs: readonly ReferenceArray[],
): readonly Float64Array[] {
  const { op, attributes } = node;
  const result = node.outputs[0]!;
  switch (op.kind) {
    case "leaf":
      return [leaf(op.name, result, attributes.value as number)];
    case "elementwise":
      return [computeElementwise(op.name, inputs, result)];
    case "movement":
      return [computeMovement(op.name, inputs[0]!, attributes, result.shape)];
    case "reduce":
      return [computeReduction(op.name, inputs[0]!, attributes.axes as readonly number[])];
    case "kernel":
      return kernel(node, inputs);
    case "identity":
      return [inputs[0]!.elements];
    case "primitive":
      throw unknownOperation(op.name);
  }
}

function leaf(name: string, result: Value, value: number): Float64Array {
  if (name === "constant") return Float64Array.of(wrap(value, result.dtype));
  if (name === "iota") return Float64Array.from({ length: result.shape[0]! }, (_, i) => i);
  throw unknownOperation(name);
}

function kernel(node: Node, inputs: readonly ReferenceArray[]): readonly Float64Array[] {
  const { op, attributes } = node;
  const [first, second] = inputs;
  const axis = attributes.axis as number;
  switch (op.name) {
    case "matmul":
      return [computeMatmul(first!, second!)];
    case "sort":
      return computeSort(first!, axis, attributes.descending === true);
    case "cumulativeSum":
    case "cumulativeProduct":
    case "cumulativeMax":
    case "cumulativeMin":
      return computeScan(op.name, first!, axis);
    case "kernelHalving":
      return [
        computeKernelHalving(inputs, attributes.bucket as number, attributes.rounds as number),
      ];
    default:
      return [computeIndexing(op.name, inputs, axis, node.outputs[0]!.shape)];
  }
}
