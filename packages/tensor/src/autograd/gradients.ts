/**
 * Gradients as a transformation of the graph: reverse accumulation records new nodes that compute
 * the cotangents, so that forward, backward and optimizer become one plan, and a gradient can be
 * differentiated again.
 */

import { XError } from "../error.js";
import { isGradientLeaf, withGradient, type Node, type Value } from "../graph/node.js";
import { topologicalOrder } from "../graph/graph.js";
import { add } from "../ops/elementwise.js";
import { full } from "../ops/movement.js";
import { sumTo } from "../ops/reduce.js";

/** What to differentiate, and how far to go. */
export interface GradientRequest {
  readonly outputs: readonly Value[];
  /** The cotangents of the outputs. */
  readonly seeds: readonly Value[];
  /** The values whose cotangents are wanted; `null` for every tracked leaf. */
  readonly wanted: ReadonlySet<Value> | null;
  /** Nodes to treat as leaves. */
  readonly boundary?: ReadonlySet<Node>;
}

/**
 * The cotangent of every wanted value that the outputs depend on. A value that is reached only
 * through functions with derivative 0 everywhere (sign, floor …) gets zeros.
 */
export function gradients(request: GradientRequest): Map<Value, Value> {
  const { outputs, seeds, wanted, boundary } = request;
  const order = topologicalOrder(outputs, boundary ?? null);
  const leading = nodesLeadingTo(order, wanted, boundary);
  const cotangents = new Map<Value, Value>();
  const accumulate = (value: Value, cotangent: Value): void => {
    const before = cotangents.get(value);
    cotangents.set(value, before === undefined ? cotangent : add(before, cotangent));
  };
  outputs.forEach((output, i) => accumulate(output, seeds[i]!));
  const reached = new Set<Node>(outputs.map((output) => output.node));

  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i]!;
    if (!leading.has(node) || !reached.has(node)) continue;
    if (node.inputs.length === 0) checkHistory(node);
    if (boundary?.has(node) === true || !node.op.differentiable) continue;
    const needed = node.inputs.map((input) => input.tracked && leading.has(input.node));
    const own = node.outputs.map((output) => cotangents.get(output) ?? null);
    const results = own.some((cotangent) => cotangent !== null)
      ? gradientOf(node, own, needed)
      : [];
    node.inputs.forEach((input, j) => {
      if (needed[j] !== true) return;
      reached.add(input.node);
      const result = results[j];
      if (result) accumulate(input, sumTo(result, input.shape));
    });
  }

  const result = new Map<Value, Value>();
  for (const node of order) {
    if (!reached.has(node)) continue;
    for (const value of node.outputs) {
      const isWanted = wanted === null ? isGradientLeaf(value) : wanted.has(value);
      if (isWanted) result.set(value, cotangents.get(value) ?? full(value.shape, 0, "float32"));
    }
  }
  return result;
}

/** The nodes from which a wanted value (or a leaf that has lost its history) can be reached. */
function nodesLeadingTo(
  order: readonly Node[],
  wanted: ReadonlySet<Value> | null,
  boundary: ReadonlySet<Node> | undefined,
): Set<Node> {
  const leading = new Set<Node>();
  for (const node of order) {
    const isLeaf = node.inputs.length === 0;
    const isWanted =
      wanted === null
        ? isGradientLeaf(node.outputs[0]!)
        : node.outputs.some((output) => wanted.has(output));
    const leads =
      isWanted ||
      (isLeaf && node.outputs[0]!.severed) ||
      (boundary?.has(node) !== true &&
        node.op.differentiable &&
        node.inputs.some((input) => input.tracked && leading.has(input.node)));
    if (leads) leading.add(node);
  }
  return leading;
}

function checkHistory(leaf: Node): void {
  if (leaf.outputs[0]!.severed) {
    throw new XError(
      "gradient",
      "backward: every tensor on the way must still have its history, got one that was read or realized before. Call backward() first and read afterwards, or detach() the tensor.",
    );
  }
}

/** Applies a node's gradient rule, or differentiates its definition where it has none. */
function gradientOf(
  node: Node,
  cotangents: readonly (Value | null)[],
  needed: readonly boolean[],
): readonly (Value | null | undefined)[] {
  if (node.op.gradient) return node.op.gradient(node, cotangents, needed);
  const outputs: Value[] = [];
  const seeds: Value[] = [];
  // The definition must have a history here even where the gradients themselves need none.
  const composed = withGradient(true, () => node.op.compose!(node.inputs, node.attributes));
  composed.forEach((output, i) => {
    const cotangent = cotangents[i];
    if (!cotangent) return;
    outputs.push(output);
    seeds.push(cotangent);
  });
  const inner = gradients({
    outputs,
    seeds,
    wanted: new Set(node.inputs.filter((_, i) => needed[i])),
    boundary: new Set(node.inputs.map((input) => input.node)),
  });
  // A value that is an input twice has one cotangent for both uses: it counts once.
  return node.inputs.map((input, i) =>
    node.inputs.indexOf(input) === i ? (inner.get(input) ?? null) : null,
  );
}
