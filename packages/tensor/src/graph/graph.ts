/**
 * A graph to be computed, cut out of all recorded nodes, and its structural identity.
 *
 * Two graphs with the same key compute the same function of their inputs and scalars, so one plan
 * serves both: the second training step finds the plan of the first.
 */

import { check, XError } from "../error.js";
import type { Attribute, Node, Value } from "./node.js";

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
  /** The structural identity. */
  readonly key: GraphKey;
}

/** A structural identity: a hash for finding and the whole text for being sure. */
export interface GraphKey {
  readonly hash: number;
  readonly words: Int32Array;
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
  return { nodes, inputs, scalars, outputs, updates, key: graphKey(nodes, outputs, updates) };
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

const texts = new Map<string, number>();

function internText(text: string): number {
  let number = texts.get(text);
  if (number === undefined) {
    number = texts.size;
    texts.set(text, number);
  }
  return number;
}

const float = new Float64Array(1);
const floatWords = new Int32Array(float.buffer);

let words = new Int32Array(1 << 14);
let used = 0;

function push(word: number): void {
  if (used === words.length) {
    const larger = new Int32Array(words.length * 2);
    larger.set(words);
    words = larger;
  }
  words[used++] = word;
}

function pushNumber(value: number): void {
  const word = value | 0;
  if (word === value && word !== 0x7fffffff && !Object.is(value, -0)) {
    push(word);
  } else {
    float[0] = value;
    push(0x7fffffff);
    push(floatWords[0]!);
    push(floatWords[1]!);
  }
}

function pushAttribute(attribute: Attribute): void {
  switch (typeof attribute) {
    case "number":
      pushNumber(attribute);
      break;
    case "string":
      push(internText(attribute));
      break;
    case "boolean":
      push(attribute ? 1 : 0);
      break;
    default:
      if (attribute === null) {
        // A marker no number can have: the bits of a NaN that `pushNumber` never makes.
        push(0x7fffffff);
        push(-1);
        push(-1);
      } else {
        push(attribute.length);
        for (const value of attribute) pushNumber(value);
      }
  }
}

function graphKey(
  nodes: readonly Node[],
  outputs: readonly Value[],
  updates: readonly (number | null)[],
): GraphKey {
  used = 0;
  for (const node of nodes) {
    push(node.op.id);
    push(node.inputs.length);
    for (const input of node.inputs) {
      push(input.node.position);
      push(input.index);
    }
    for (const name in node.attributes) {
      push(internText(name));
      pushAttribute(node.attributes[name]!);
    }
    if (node.inputs.length === 0) {
      const value = node.outputs[0]!;
      push(internText(value.dtype));
      push(value.shape.length);
      for (const n of value.shape) push(n);
    }
  }
  outputs.forEach((output, i) => {
    push(output.node.position);
    push(output.index);
    push(updates[i] ?? -1);
  });
  const key = words.slice(0, used);
  let hash = 0x811c9dc5;
  for (let i = 0; i < used; i++) hash = Math.imul(hash ^ key[i]!, 0x01000193) ^ (hash >>> 15);
  return { hash, words: key };
}

/** Whether two keys stand for the same structure. */
export function sameKey(a: GraphKey, b: GraphKey): boolean {
  if (a.hash !== b.hash || a.words.length !== b.words.length) return false;
  for (let i = 0; i < a.words.length; i++) if (a.words[i] !== b.words[i]) return false;
  return true;
}
