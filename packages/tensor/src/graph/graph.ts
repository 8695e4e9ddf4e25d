/** A graph to be computed, cut out of all recorded nodes. */

import { check, XError } from "../error.js";
import type { Node, Value } from "./node.js";

/** Everything one plan computes. */
export interface Graph {
  /** Every node needed, inputs before users. */
  readonly nodes: readonly Node[];
  /** The leaves with stored numbers, in order of first use. */
  readonly inputs: readonly Value[];
  /** The runtime scalars, in order of first use. */
  readonly scalars: readonly Node[];
  /** What is asked for. */
  readonly outputs: readonly Value[];
  /** Per output: the input whose memory it overwrites once all readers are done, or `null`. */
  readonly updates: readonly (number | null)[];
}

let walkCount = 0;

/**
 * Every node that `outputs` depend on, inputs before users, going no further than the nodes in
 * `boundary` (which are included). Does not recurse: graphs may be deep.
 */
export function topologicalOrder(
  outputs: readonly Value[],
  boundary: ReadonlySet<Node> | null = null,
): Node[] {
  const walk = ++walkCount;
  const order: Node[] = [];
  const stack: Node[] = [];
  const next: number[] = [];
  for (const output of outputs) {
    if (output.node.walk === walk) continue;
    output.node.walk = walk;
    stack.push(output.node);
    next.push(0);
    while (stack.length > 0) {
      const top = stack.length - 1;
      const node = stack[top]!;
      const position = next[top]!;
      if (position < node.inputs.length && boundary?.has(node) !== true) {
        next[top] = position + 1;
        const input = node.inputs[position]!.node;
        if (input.walk !== walk) {
          input.walk = walk;
          stack.push(input);
          next.push(0);
        }
      } else {
        stack.pop();
        next.pop();
        node.position = order.length;
        order.push(node);
      }
    }
  }
  return order;
}

/**
 * The nodes of a graph in the order of recording, leaves before their first users: so every layer's
 * gradients come before those of the layer below, and what they are computed from is not kept until the
 * end. Plans are made in this order; to find them, any will do.
 */
export function inOrderOfRecording(nodes: readonly Node[]): Node[] {
  const recorded = nodes.filter(({ inputs }) => inputs.length > 0);
  recorded.sort((a, b) => a.serial - b.serial);
  const order = new Set<Node>();
  for (const node of recorded) {
    for (const { node: input } of node.inputs) if (input.inputs.length === 0) order.add(input);
    order.add(node);
  }
  // Leaves that are outputs themselves.
  for (const node of nodes) order.add(node);
  return [...order];
}

/**
 * Cuts the graph of `outputs` out of all recorded nodes.
 *
 * @param nodes the topological order of `outputs`, found by the latest walk
 */
export function collectGraph(
  outputs: readonly Value[],
  nodes: readonly Node[] = topologicalOrder(outputs),
): Graph {
  const inputs: Value[] = [];
  const scalars: Node[] = [];
  for (const node of nodes) {
    if (node.op.name === "input") {
      const value = node.outputs[0]!;
      checkReadable(value);
      inputs.push(value);
    } else if (node.op.name === "scalar") {
      scalars.push(node);
    }
  }
  const positions = new Map(inputs.map((input, position) => [input.storage, position]));
  const updates = outputs.map(({ home }) => (home === null ? null : (positions.get(home) ?? null)));
  return { nodes, inputs, scalars, outputs, updates };
}

function checkReadable(value: Value): void {
  const storage = value.storage;
  if (storage === null) {
    throw new XError(
      "internal",
      "realize: a leaf must have storage, got none. Please report this.",
    );
  }
  storage.checkAlive("realize");
  check(
    storage.version === value.version,
    "disposed",
    () =>
      "realize: every tensor must be read before it is overwritten, got a result that depends on the value a tensor had before it was updated in place. Realize the result before the update.",
  );
}
