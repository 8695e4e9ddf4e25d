/**
 * How much rounding may change a result: the reference run again and again with every arithmetic
 * result moved a little. Where the runs agree the result is well conditioned and devices must agree
 * too; where they fall apart (a comparison flips, a sum cancels) nothing is asked of devices.
 */

import type { Graph } from "../../src/graph/graph.js";
import type { Node } from "../../src/graph/node.js";
import { computeNode, interpret, type Intercept } from "../../src/reference/interpreter.js";
import { randomNumbers } from "../../src/testing/index.js";

/** Relative size of the noise; devices compute functions to about a tenth of it. */
const noise = 1e-6;
const runs = 3;

/** Operations that join many elements: their inputs are moved, because their terms may cancel. */
const joining = new Set([
  "sum",
  "product",
  "matmul",
  "cumulativeSum",
  "cumulativeProduct",
  "indexAdd",
  "scatterAdd",
]);

/** Elementwise operations that give one of their operands, exactly. */
const exact = new Set(["where", "maximum", "minimum", "negate", "abs", "sign"]);

function isArithmetic(node: Node): boolean {
  return node.op.kind === "elementwise" && !exact.has(node.op.name);
}

function disturb(seed: number): Intercept {
  const draw = randomNumbers(seed);
  const move = (x: number): number => Math.fround(x * (1 + noise * (2 * draw() - 1)));
  return (node, inputs) => {
    const isFloat = node.outputs[0]!.dtype === "float32";
    if (!isFloat) return computeNode(node, inputs);
    if (joining.has(node.op.name)) {
      const moved = inputs.map((input) =>
        input.dtype === "float32" ? { ...input, elements: input.elements.map(move) } : input,
      );
      return computeNode(node, moved).map((elements) => elements.map(Math.fround));
    }
    const results = computeNode(node, inputs);
    return isArithmetic(node) ? results.map((elements) => elements.map(move)) : results;
  };
}

/** The exact result of a graph output, and how far each element may be from it. */
export interface Expectation {
  readonly elements: Float64Array;
  /** Infinite where nothing is asked. */
  readonly tolerance: Float64Array;
}

/** Computes what devices must give for a graph without primitives. */
export function expectations(
  graph: Graph,
  inputs: readonly Float64Array[],
  scalars: readonly number[],
): readonly Expectation[] {
  const given = { inputs, scalars, profile: null };
  const exactly = interpret(graph, given);
  const disturbed = Array.from({ length: runs }, (_, run) =>
    interpret(graph, { ...given, intercept: disturb(run + 1) }),
  );
  return exactly.map((elements, output) => {
    const isFloat = ["float32", "float16"].includes(graph.outputs[output]!.dtype);
    const tolerance = elements.map((element, i) => {
      const others = disturbed.map((run) => run[output]![i]!);
      return toleranceOf(element, others, isFloat);
    });
    return { elements, tolerance };
  });
}

/** Smaller numbers than this may be flushed to zero. */
const smallest = 1e-36;

function toleranceOf(element: number, others: readonly number[], isFloat: boolean): number {
  const isSame = others.every((other) => Object.is(other, element) || other === element);
  if (!isFloat || !Number.isFinite(element)) return isSame ? 0 : Infinity;
  const deviation = Math.max(...others.map((other) => Math.abs(other - element)));
  const isStable = deviation <= 1e-3 * Math.max(Math.abs(element), 1e-3);
  return isStable ? 10 * deviation + 1e-6 * Math.abs(element) + smallest : Infinity;
}
