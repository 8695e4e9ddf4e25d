/**
 * Expanding: from the graph that was recorded to the graph that a device computes.
 *
 * Primitives without a native kernel give way to their definitions, operations that only carry
 * gradients disappear, and what is computed twice from the same values is computed once.
 */

import { XError } from "../error.js";
import { inOrderOfRecording, topologicalOrder, type Graph } from "../graph/graph.js";
import { Node, withGradient, type Attribute, type Attributes, type Value } from "../graph/node.js";

/**
 * Rewrites `graph` for a device.
 *
 * - A primitive for which `isNative` is false is replaced by its definition, and so are the
 *   primitives in there. `isNative` is shown nodes of the new graph.
 * - `detach`, `variable` and `customGradient` stand for their inputs. `after` stays: it keeps a
 *   recomputed copy apart from the first computation, and it orders the two.
 * - Equal operations on equal inputs become one; equal constants too. Stored inputs and runtime
 *   scalars are never merged: they keep their number and order, so bindings fit the new graph as
 *   they fitted the old one.
 *
 * The result is made of new nodes without storage, payloads or history. It may be kept as long as a
 * plan lives without holding on to anybody's numbers. Outputs may be leaves, and may coincide.
 */
export function expandPrimitives(graph: Graph, isNative: (node: Node) => boolean): Graph {
  return withGradient(false, () => new Expansion(isNative).expand(graph));
}

/** From the values of a graph to the values that replace them. */
type Replacements = Map<Value, Value>;

class Expansion {
  readonly #isNative: (node: Node) => boolean;
  /** What was made already, by operation, attributes and inputs. */
  readonly #made = new Map<string, readonly Value[]>();
  readonly #numbers = new Map<Node, number>();

  constructor(isNative: (node: Node) => boolean) {
    this.#isNative = isNative;
  }

  expand(graph: Graph): Graph {
    const replacements: Replacements = new Map();
    const replace = (value: Value): Value => {
      const [fresh] = copyOf(value.node, []).outputs;
      replacements.set(value, fresh!);
      return fresh!;
    };
    const inputs = graph.inputs.map(replace);
    const scalars = graph.scalars.map((node) => replace(node.outputs[0]!).node);
    this.#rewrite(inOrderOfRecording(graph.nodes), replacements);
    const outputs = graph.outputs.map((output) => replacements.get(output)!);
    const nodes = inOrderOfRecording(topologicalOrder(outputs));
    return { nodes, inputs, scalars, outputs, updates: graph.updates };
  }

  /** Adds the replacements of all results of `nodes`, which come inputs before users. */
  #rewrite(nodes: readonly Node[], replacements: Replacements): void {
    for (const node of nodes) {
      if (node.outputs.every((output) => replacements.has(output))) continue;
      const inputs = node.inputs.map((input) => replacements.get(input)!);
      const results = this.#replace(node, inputs);
      node.outputs.forEach((output, i) => replacements.set(output, results[i]!));
    }
  }

  #replace(node: Node, inputs: readonly Value[]): readonly Value[] {
    switch (node.op.name) {
      case "detach":
      case "variable":
        return inputs;
      case "customGradient":
        return inputs.slice(node.attributes.inputs as number);
      case "input":
      case "scalar":
        throw new XError(
          "internal",
          `plan: a definition may use stored numbers only as inputs, got a leaf "${node.op.name}" inside one. Pass it as an input of the operation.`,
        );
    }
    const identity = this.#identityOf(node, inputs);
    let results = this.#made.get(identity);
    if (results === undefined) {
      const copy = copyOf(node, inputs);
      const { compose } = node.op;
      results =
        compose === undefined || this.#isNative(copy)
          ? copy.outputs
          : this.#expandDefinition(compose(inputs, node.attributes), inputs);
      this.#made.set(identity, results);
    }
    return results;
  }

  #expandDefinition(results: readonly Value[], inputs: readonly Value[]): readonly Value[] {
    const replacements: Replacements = new Map(inputs.map((input) => [input, input]));
    const boundary = new Set(inputs.map((input) => input.node));
    const inner = topologicalOrder(results, boundary).filter((node) => !boundary.has(node));
    this.#rewrite(inner, replacements);
    return results.map((result) => replacements.get(result)!);
  }

  #identityOf(node: Node, inputs: readonly Value[]): string {
    const operands = inputs.map((input) => `${this.#numberOf(input.node)}.${input.index}`);
    return `${node.op.id}(${operands.join()})${formatAttributes(node.attributes)}`;
  }

  #numberOf(node: Node): number {
    let number = this.#numbers.get(node);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(node, number);
    }
    return number;
  }
}

function copyOf(node: Node, inputs: readonly Value[]): Node {
  return new Node(
    node.op,
    inputs,
    node.attributes,
    node.outputs,
    node.outputs[0]?.device ?? null,
    false,
    null,
  );
}

function formatAttributes(attributes: Attributes): string {
  let text = "";
  for (const name in attributes) text += `;${name}=${formatAttribute(attributes[name]!)}`;
  return text;
}

function formatAttribute(attribute: Attribute): string {
  if (typeof attribute === "number") return formatNumber(attribute);
  if (typeof attribute === "string") return JSON.stringify(attribute);
  if (typeof attribute === "boolean" || attribute === null) return String(attribute);
  return `[${attribute.map(formatNumber).join()}]`;
}

/** Like `String`, but tells −0 from 0. */
function formatNumber(value: number): string {
  return Object.is(value, -0) ? "-0" : String(value);
}
