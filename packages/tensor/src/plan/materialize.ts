/**
 * Which values are written to memory.
 *
 * Everything else is computed inside the kernels that use it. Writing costs a pass over memory;
 * not writing costs computing again for every user. Reductions and results of native kernels are
 * always written; cheap elementwise values never are; the rest is written once it has two users that
 * are not parts of one kernel.
 */

import type { Graph } from "../graph/graph.js";
import type { Node, Value } from "../graph/node.js";
import { sameShape, sizeOf } from "../tensor/shape.js";
import { widenedFrom } from "./fusion.js";
import type { NativeSupport } from "./schedule.js";

/** The choice for a graph. */
export interface Materialization {
  /** Values that get a buffer. */
  readonly written: ReadonlySet<Value>;
  /** For a written value whose kernel ends a reduction: the reduction. */
  readonly reductions: ReadonlyMap<Value, Node>;
}

/** What computing a value inline costs per element. */
interface Cost {
  /** Elements loaded. */
  readonly loads: number;
  /** Arithmetic, in units of an addition. */
  readonly work: number;
  /** Scalar functions in the whole expression, to keep kernels at a sane size. */
  readonly size: number;
}

const functionWork: Readonly<Record<string, number>> = {
  exp: 8,
  expm1: 12,
  log: 10,
  log1p: 12,
  sin: 12,
  cos: 12,
  tanh: 10,
  sigmoid: 10,
  erf: 12,
  power: 24,
  divide: 3,
  sqrt: 3,
  remainder: 5,
  threefry0: 60,
  threefry1: 60,
};

/** A value that costs at most this much is computed again for every user. */
const cheap = { loads: 1, work: 5 };
/** A value without loads (counters, constants) may cost more. */
const cheapWithoutLoads = 20;
/** Expressions do not grow beyond this many scalar functions. */
const largestExpression = 96;

const free: Cost = { loads: 0, work: 0, size: 0 };
const inMemory: Cost = { loads: 1, work: 0, size: 1 };

/** Chooses what to write; `forced` are values that fusion found it cannot do without. */
export function chooseMaterialized(
  graph: Graph,
  support: Pick<NativeSupport, "has" | "widens">,
  forced: ReadonlySet<Value>,
): Materialization {
  const uses = countUses(graph, (node) => support.has(node));
  const written = new Set<Value>();
  const reductions = new Map<Value, Node>();
  const costs = new Map<Value, Cost>();
  /** Values that end in one reduction which can still take more of an epilogue. */
  const open = new Map<Value, Node>();
  const requested = new Set(graph.outputs);
  /** Values that are written only because they have several users. */
  const shared = new Set<Value>();
  /** Scalar functions in the kernels of written values. */
  const sizes = new Map<Value, number>();

  const costOf = (value: Value): Cost => costs.get(value) ?? free;
  const write = (value: Value): void => {
    shared.delete(value);
    if (isStored(value) || written.has(value)) return;
    written.add(value);
    sizes.set(value, costOf(value).size);
    costs.set(value, inMemory);
    const reduction = open.get(value);
    if (reduction !== undefined) reductions.set(value, reduction);
    open.delete(value);
  };
  for (const node of graph.nodes) {
    const value = node.outputs[0]!;
    switch (node.op.kind) {
      case "leaf":
        costs.set(value, node.op.name === "input" ? inMemory : free);
        break;
      case "movement":
      case "identity": {
        const input = node.inputs[0]!;
        if (open.has(input)) {
          // An epilogue walks over the output points of its reduction: the same points, in any order.
          const keepsPoints = ["reshape", "permute", "flip"].includes(node.op.name);
          if (keepsPoints && uses.get(input) === 1) open.set(value, open.get(input)!);
          else write(input);
        }
        const repeats = sizeOf(value.shape) > sizeOf(input.shape);
        if (repeats && costOf(input).work > cheap.work) write(input);
        costs.set(value, costOf(input));
        break;
      }
      case "elementwise":
        fuseElementwise(node);
        break;
      case "reduce": {
        for (const input of node.inputs) if (open.has(input)) write(input);
        const count = sizeOf(node.inputs[0]!.shape);
        // A reduction of nothing is its neutral element; the scheduler fills it in.
        if (count === 0) write(value);
        else open.set(value, node);
        costs.set(value, { loads: 4, work: 100, size: 1 });
        break;
      }
      default:
        node.inputs.forEach((input, i) => {
          if (open.has(input)) write(input);
          else writeComputed(narrowed(node, i) ?? input);
        });
        for (const output of node.outputs) {
          written.add(output);
          costs.set(output, inMemory);
        }
    }
    for (const output of node.outputs) {
      if (written.has(output) || isStored(output)) continue;
      const isAlias = node.op.kind === "movement" || node.op.kind === "identity";
      const isUsedAgain = (uses.get(output) ?? 0) > 1;
      const isNeeded = requested.has(output) || forced.has(output);
      if (isNeeded || (isUsedAgain && open.has(output))) write(output);
      else if (isUsedAgain && !isAlias && !isCheap(costOf(output))) {
        write(output);
        shared.add(output);
      }
    }
  }
  for (const value of requested) write(value);
  joinUsers();
  return { written, reductions };

  /** Leaves in its kernel what is shared by parts of one kernel only: it is computed there once. */
  function joinUsers(): void {
    /** The written value whose kernel computes all users of a value; `null` if there are several. */
    const kernels = new Map<Value, Value | null>();
    for (let i = graph.nodes.length - 1; i >= 0; i--) {
      const node = graph.nodes[i]!;
      const value = node.outputs[0]!;
      const kernel = kernels.get(value) ?? null;
      if (kernel !== null && shared.has(value)) {
        const size = sizes.get(kernel)! + sizes.get(value)!;
        if (size <= largestExpression) {
          sizes.set(kernel, size);
          written.delete(value);
        }
      }
      const isElementwise = node.op.kind === "elementwise" && !reductions.has(value);
      const own = written.has(value) ? value : kernel;
      for (const input of node.inputs) {
        const isPart = isElementwise && sameShape(input.shape, value.shape);
        const user = isPart ? own : null;
        kernels.set(input, kernels.has(input) && kernels.get(input) !== user ? null : user);
      }
    }
  }

  function fuseElementwise(node: Node): void {
    const value = node.outputs[0]!;
    const size = sizeOf(value.shape);
    let total = 0;
    for (const input of node.inputs) total += costOf(input).size;
    for (const input of node.inputs) {
      const cost = costOf(input);
      const repeats = sizeOf(input.shape) < size;
      const tooLarge = total > largestExpression && cost.size > 1;
      const isLeaf = baseOf(input).node.op.kind === "leaf";
      if (isLeaf) continue;
      if (tooLarge || (repeats && (cost.work > cheap.work || cost.loads > 1))) writeComputed(input);
    }
    const ending = node.inputs.filter((input) => open.has(input));
    const [only] = ending;
    const canContinue =
      only !== undefined &&
      ending.every((input) => input === only) &&
      uses.get(only) === ending.length &&
      sizeOf(only.shape) === size;
    if (canContinue) open.set(value, open.get(only)!);
    else for (const input of ending) write(input);
    let cost: Cost = { loads: 0, work: functionWork[node.op.name] ?? 1, size: 1 };
    for (const input of node.inputs) {
      const { loads, work, size: count } = costOf(input);
      cost = { loads: cost.loads + loads, work: cost.work + work, size: cost.size + count };
    }
    costs.set(value, cost);
  }

  /** What input `input` is cast from, where the kernel of `node` does that itself. */
  function narrowed(node: Node, input: number): Value | null {
    const cast = baseOf(node.inputs[input]!);
    const source = written.has(cast) ? null : widenedFrom(cast);
    return source !== null && support.widens?.(node, input, source.dtype) === true ? source : null;
  }

  /** The value behind a chain of movements. */
  function baseOf(value: Value): Value {
    let current = value;
    while (
      !written.has(current) &&
      (current.node.op.kind === "movement" || current.node.op.kind === "identity")
    ) {
      current = current.node.inputs[0]!;
    }
    return current;
  }

  /** Writes the computed value behind a chain of movements. */
  function writeComputed(value: Value): void {
    const current = baseOf(value);
    // Constants and counters have no memory a view could be made of.
    const isComputedLeaf = current.node.op.kind === "leaf" && !isStored(current);
    write(isComputedLeaf ? value : current);
    for (let v = value; v !== current; v = v.node.inputs[0]!) {
      costs.set(v, inMemory);
      open.delete(v);
    }
  }
}

function isCheap({ loads, work }: Cost): boolean {
  if (loads === 0) return work <= cheapWithoutLoads;
  return loads <= cheap.loads && work <= cheap.work;
}

function isStored(value: Value): boolean {
  return value.node.op.kind === "leaf" && value.node.op.name === "input";
}

/**
 * How many computations read each value. A movement passes its own count on: three readers of a
 * transpose are three readers of what is transposed.
 */
function countUses(graph: Graph, isNative: (node: Node) => boolean): Map<Value, number> {
  const uses = new Map<Value, number>();
  const add = (value: Value, count: number): void => {
    uses.set(value, (uses.get(value) ?? 0) + count);
  };
  for (const output of graph.outputs) add(output, 1);
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i]!;
    const isAlias = !isNative(node) && (node.op.kind === "movement" || node.op.kind === "identity");
    const count = isAlias ? (uses.get(node.outputs[0]!) ?? 0) : 1;
    node.inputs.forEach((input, j) => {
      // `after` only waits for its second input.
      if (isAlias && j > 0) return;
      add(input, count);
    });
  }
  return uses;
}
