/**
 * How much rounding may change a result: the reference run again and again with every arithmetic
 * result moved a little. Where the runs agree the result is well conditioned and devices must agree
 * too; where they fall apart (a comparison flips, a sum cancels) nothing is asked of devices.
 */

import type { Graph } from "../../src/graph/graph.js";
import type { Node, Value } from "../../src/graph/node.js";
import { readView, type ReferenceArray } from "../../src/reference/array.js";
import { broadcastElements } from "../../src/reference/elementwise.js";
import { computeNode, interpret, type Intercept } from "../../src/reference/interpreter.js";
import { isFloat } from "../../src/tensor/dtype.js";
import type { Shape } from "../../src/tensor/shape.js";
import { randomNumbers } from "../../src/testing/index.js";

/** Relative size of the noise; devices compute functions to about a tenth of it. */
const noise = 1e-6;
const runs = 4;

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

/** Elementwise operations that give one of their operands as it is. */
const choosing = new Set(["where", "maximum", "minimum", "negate", "abs"]);

/** Functions that devices compute to an absolute error of 1e-7. */
const periodic = new Set(["sin", "cos"]);

/** Operations that jump where their operands change a little. */
const jumping = new Set([
  "cast",
  "sign",
  "floor",
  "ceil",
  "round",
  "trunc",
  "remainder",
  "equal",
  "notEqual",
  "less",
  "lessEqual",
]);

/** Operations that say where an element was found. */
const choosingPlaces = new Set(["argmax", "argmin", "sort", "cumulativeMax", "cumulativeMin"]);

function isArithmetic(node: Node): boolean {
  return node.op.kind === "elementwise" && !choosing.has(node.op.name);
}

/** Nodes whose results are inputs, constants or whole numbers, possibly moved about: never rounded. */
function exactNodes(graph: Graph): Set<Node> {
  const exact = new Set<Node>();
  for (const node of graph.nodes) {
    const keeps = !isArithmetic(node) && !joining.has(node.op.name);
    const isExact =
      !isFloat(node.outputs[0]!.dtype) ||
      (keeps && node.inputs.every((input) => exact.has(input.node)));
    if (isExact) exact.add(node);
  }
  return exact;
}

/** What was seen in the exact run. */
interface Seen {
  /** An input was infinite or NaN, or arithmetic made such a number of others. */
  infinite: boolean;
  /** Such a number was joined with others. */
  joinedInfinite: boolean;
}

function isInfinite(elements: Float64Array): boolean {
  return !elements.every(Number.isFinite);
}

/** Computes exactly; notes what is seen, and all results. */
function watch(seen: Seen, results: Map<Value, Float64Array>): Intercept {
  return (node, inputs) => {
    const outputs = computeNode(node, inputs);
    node.outputs.forEach((output, i) => results.set(output, outputs[i]!));
    const entered = inputs.some(({ elements }) => isInfinite(elements));
    // Definitions may use infinities of their own, e.g. to mask scores.
    seen.infinite ||= !entered && isArithmetic(node) && outputs.some(isInfinite);
    seen.joinedInfinite ||= entered && joining.has(node.op.name);
    return outputs;
  };
}

/** For every element of a tensor: the number of the row along `axes` that it belongs to. */
function rowsAlong(shape: Shape, axes: readonly number[]): Float64Array {
  let stride = 1;
  const strides = shape.map(() => 0);
  for (let d = shape.length - 1; d >= 0; d--) {
    if (axes.includes(d)) continue;
    strides[d] = stride;
    stride *= shape[d]!;
  }
  return readView(
    Float64Array.from({ length: stride }, (_, row) => row),
    shape,
    0,
    strides,
  );
}

/**
 * Puts elements that rounding might exchange into another order: in every row, groups of neighbours
 * that are as good as equal become one value each, increasing in the order of their places; in every
 * second run each takes the next one's turn.
 */
function exchange(input: Blurred, axes: readonly number[], run: number): ReferenceArray {
  const { elements, shape, margin } = input;
  const rows = rowsAlong(shape, axes);
  const order = Array.from(elements.keys()).sort(
    (i, j) => rows[i]! - rows[j]! || elements[i]! - elements[j]!,
  );
  const isNear = (i: number, j: number): boolean =>
    rows[i] === rows[j] && elements[j]! - elements[i]! <= margin(elements[i]!);
  const result = elements.slice();
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && isNear(order[end - 1]!, order[end]!)) end++;
    const group = order.slice(start, end).sort((i, j) => i - j);
    const base = elements[order[start]!]!;
    const step = 1e-12 * Math.abs(base) + 1e-300;
    group.forEach((i, rank) => {
      if (group.length > 1) result[i] = base + ((rank + run) % group.length) * step;
    });
    start = end;
  }
  return { ...input, elements: result };
}

/** An operand, and how far rounding may have moved an element of it, generously. */
interface Blurred extends ReferenceArray {
  readonly margin: (x: number) => number;
}

/** `exactly` are the elements without noise, where they were computed. */
function blurred(input: ReferenceArray, exactly: Float64Array | undefined): Blurred {
  let largest = 0;
  let deviation = 0;
  input.elements.forEach((x, i) => {
    const difference = exactly === undefined ? 0 : Math.abs(x - exactly[i]!);
    if (Number.isFinite(x)) largest = Math.max(largest, Math.abs(x));
    if (Number.isFinite(difference)) deviation = Math.max(deviation, difference);
  });
  const least = 1e-6 * largest + 10 * deviation;
  return { ...input, margin: (x) => least + 1e-5 * Math.abs(x) };
}

/** Two operands, the first made equal to the second where rounding might do it. */
function snap(shape: Shape, operands: readonly [Blurred, Blurred]): ReferenceArray[] {
  const [a, b] = operands.map((operand) => broadcastElements(operand, shape)) as [
    Float64Array,
    Float64Array,
  ];
  const margin = (x: number): number => operands[0].margin(x) + operands[1].margin(x);
  const snapped = a.map((x, i) => (Math.abs(x - b[i]!) <= margin(x) ? b[i]! : x));
  return [snapped, b].map((elements, i) => ({ shape, dtype: operands[i]!.dtype, elements }));
}

/** Computes nodes with noise, and jumping ones with their rounded operands pushed to one side. */
function disturb(
  exact: ReadonlySet<Node>,
  results: ReadonlyMap<Value, Float64Array>,
  run: number,
): Intercept {
  const draw = randomNumbers(run);
  const move = (x: number): number => {
    const isFlushed = run % 2 === 1 && Math.abs(x) < smallest;
    return isFlushed ? 0 : Math.fround(x * (1 + noise * (2 * draw() - 1)));
  };
  const shift = (x: number): number => move(x) + 1e-7 * (2 * draw() - 1);
  const moved = (input: ReferenceArray): ReferenceArray =>
    input.dtype === "float32" ? { ...input, elements: input.elements.map(move) } : input;
  const push = (input: Blurred): ReferenceArray => {
    const side = run % 2 === 0 ? -1 : 1;
    return { ...input, elements: input.elements.map((x) => x + side * input.margin(x)) };
  };
  /** Operands between which a jumping operation, or one that chooses places, decides otherwise. */
  const unsettle = (node: Node, operands: readonly Blurred[]): readonly ReferenceArray[] => {
    const { name } = node.op;
    const [first, ...others] = operands as [Blurred, ...Blurred[]];
    if (choosingPlaces.has(name)) {
      const { axis, axes } = node.attributes;
      return [exchange(first, (axes ?? [axis]) as readonly number[], run)];
    }
    if (run % 2 === 1 && (name === "equal" || name === "notEqual")) {
      return snap(node.outputs[0]!.shape, [first, others[0]!]);
    }
    if (run % 2 === 1 && node.outputs[0]!.dtype === "bool" && name === "cast") {
      const { elements, margin } = first;
      return [{ ...first, elements: elements.map((x) => (Math.abs(x) <= margin(x) ? 0 : x)) }];
    }
    return [push(first), ...others];
  };
  return (node, inputs) => {
    const { name } = node.op;
    const isRounded = node.inputs.some(
      ({ dtype, node: from }) => isFloat(dtype) && !exact.has(from),
    );
    if (isRounded && (jumping.has(name) || choosingPlaces.has(name))) {
      const operands = inputs.map((input, i) => blurred(input, results.get(node.inputs[i]!)));
      return computeNode(node, unsettle(node, operands));
    }
    if (!isFloat(node.outputs[0]!.dtype)) return computeNode(node, inputs);
    if (joining.has(name)) {
      return computeNode(node, inputs.map(moved)).map((elements) => elements.map(Math.fround));
    }
    const outputs = computeNode(node, inputs);
    if (periodic.has(name)) return outputs.map((elements) => elements.map(shift));
    return isArithmetic(node) ? outputs.map((elements) => elements.map(move)) : outputs;
  };
}

/** The exact result of a graph output, and how far each element may be from it. */
export interface Expectation {
  readonly elements: Float64Array;
  /** Infinite where nothing is asked. */
  readonly tolerance: Float64Array;
}

/**
 * Computes what devices must give for a graph without primitives. Where there were primitives, which
 * devices may compute in their own way, nothing is asked once infinities come up.
 */
export function expectations(
  graph: Graph,
  hadPrimitives: boolean,
  inputs: readonly Float64Array[],
  scalars: readonly number[],
): readonly Expectation[] {
  const given = { inputs, scalars, profile: null };
  const seen = { infinite: inputs.some(isInfinite), joinedInfinite: false };
  const results = new Map<Value, Float64Array>();
  const exactly = interpret(graph, { ...given, intercept: watch(seen, results) });
  const exact = exactNodes(graph);
  const disturbed = Array.from({ length: runs }, (_, run) =>
    interpret(graph, { ...given, intercept: disturb(exact, results, run + 1) }),
  );
  return exactly.map((elements, output) => {
    // Sums in another order may turn infinities into NaN, and masked infinities into either.
    const isOpen = seen.joinedInfinite || (hadPrimitives && seen.infinite);
    if (isOpen) return { elements, tolerance: elements.map(() => Infinity) };
    const { dtype } = graph.outputs[output]!;
    const tolerance = elements.map((element, i) => {
      const others = disturbed.map((run) => run[output]![i]!);
      return toleranceOf(element, others, isFloat(dtype));
    });
    return { elements, tolerance };
  });
}

/** Smaller numbers than this may be flushed to zero. */
const smallest = 1e-30;

function toleranceOf(element: number, others: readonly number[], isFloating: boolean): number {
  const isSame = others.every((other) => Object.is(other, element) || other === element);
  if (!isFloating || !Number.isFinite(element)) return isSame ? 0 : Infinity;
  const deviation = Math.max(...others.map((other) => Math.abs(other - element)));
  const isStable = deviation <= 1e-3 * Math.max(Math.abs(element), 1e-3);
  return isStable ? 10 * deviation + 1e-6 * Math.abs(element) + smallest : Infinity;
}
