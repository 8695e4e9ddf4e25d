/** The native kernels of cumulative linear attention, forward and backward. */

import {
  linearAttentionInputs,
  type LinearAttentionInputs,
  type NativeStep,
  type Node,
  type Operand,
} from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { KernelStep, LoweringContext, NativeKernel } from "../../native.js";
import { denseView, product } from "../view.js";
import { orderQueries } from "./order.js";
import { scanLaunch } from "./scan.js";
import { startsLaunch } from "./starts.js";
import { isStep, stepLaunch, takesNorms, type Step } from "./step.js";
import type { Scan } from "./steps.js";
import type { Sizes } from "./tiled-steps.js";
import { chunksUpTo, hasTile, segmentsFor, type Segments, type Tile, tilesFor } from "./tile.js";

function sizesOf({ q, k }: Pick<LinearAttentionInputs<Operand>, "q" | "k">): Sizes {
  const [batch, heads, queries] = q.shape as [number, number, number];
  const [, keyHeads, keys] = k.shape as [number, number, number];
  return { batch, keyHeads, group: heads / keyHeads, queries, keys };
}

/** The last two axes exchanged. */
function transposed(x: Operand): Operand {
  const exchange = (numbers: readonly number[]): number[] => [
    ...numbers.slice(0, -2),
    ...numbers.slice(-2).reverse(),
  ];
  return { ...x, shape: exchange(x.shape), strides: exchange(x.strides) };
}

/** One state for all segments. */
function repeated(state: Operand, count: number): Operand {
  const { shape, strides } = state;
  return { ...state, shape: [count, ...shape.slice(-4)], strides: [0, ...strides.slice(-4)] };
}

type Columns = NonNullable<Scan["columns"]>;

/** What all launches of a node share. */
interface Problem {
  readonly context: LoweringContext;
  readonly sizes: Sizes;
  readonly scale: number;
  readonly visible: Scan["visible"];
  /** Keys, or queries, of a chunk: the same in all scans. */
  readonly chunk: number;
}

/** Reads the problem of a node; `order` are launches that it starts with. */
function readProblem(
  step: NativeStep,
  context: LoweringContext,
): { readonly problem: Problem; readonly order: readonly Launch[] } {
  const operands = linearAttentionInputs(step.inputs, step.node.attributes);
  const sizes = sizesOf(operands);
  const { q, v, mask, dy } = operands;
  const { mode, scale } = step.node.attributes as { mode: "full" | "causal"; scale: number };
  // Gradients take keys as values too.
  const stateSizes = [[q.shape[3]!, v.shape[3]!] as const];
  if (dy !== null) stateSizes.push([v.shape[3]!, q.shape[3]!]);
  const most = Math.min(...stateSizes.map((of) => tilesOf(sizes, context, ...of)[0]!.chunk));
  const { batch, keyHeads, group } = sizes;
  const [name, ...lengths] = [step.name, batch, keyHeads, group, sizes.queries, sizes.keys];
  const key = `${name} ${mode} ${[...lengths, ...stateSizes[0]!].join("x")}`;
  const { chunk } = context.choose(key, chunksUpTo(most));
  const common = { context, sizes, scale, chunk };
  const { queries, keys } = sizes;
  if (mask === null) return { problem: { ...common, visible: mode }, order: [] };
  // Without queries there is no order, and nothing to see.
  if (queries === 0) return { problem: { ...common, visible: "causal" }, order: [] };
  const { order, launches } = orderQueries(mask, keys, chunk, chunksOf(keys, chunk), context);
  return { problem: { ...common, visible: order }, order: launches };
}

function tilesOf(
  { queries, keys }: Sizes,
  { workgroupBytes }: LoweringContext,
  keySize: number,
  valueSize: number,
): readonly Tile[] {
  return tilesFor(Math.max(queries, keys), keySize, valueSize, workgroupBytes);
}

function chunksOf(length: number, chunk: number): number {
  return Math.max(1, Math.ceil(length / chunk));
}

/** The tile of a scan, and how its chunks of `length` keys or queries are shared out. */
function cut(
  { sizes, context, chunk }: Problem,
  length: number,
  keySize: number,
  valueSize: number,
): { readonly tile: Tile; readonly segments: Segments } {
  const tiles = tilesOf(sizes, context, keySize, valueSize);
  const tile = tiles.find((other) => other.chunk === chunk)!;
  const workgroups = sizes.batch * sizes.keyHeads * Math.ceil(valueSize / tile.slice);
  return { tile, segments: segmentsFor(chunksOf(length, chunk), workgroups) };
}

/** What scans of one direction start from. */
interface Start {
  readonly launches: readonly Launch[];
  /** [segments, batch, key heads, d, e]; `null`: zeros. */
  readonly states: Operand | null;
  readonly segments: Segments;
  /** The buffer of the final state if that is left to a scan. */
  readonly final: number | null;
}

/**
 * The states that scans of one direction start from: the given one; at the starts of segments, if
 * there are several; or the sum of everything where every query sees every key.
 */
function begin(
  problem: Problem,
  direction: Scan["direction"],
  columns: Columns,
  given: Operand | null,
  final: number | null,
): Start {
  const { context, sizes, visible } = problem;
  const isFull = visible === "full";
  const stateShape = [
    sizes.batch,
    sizes.keyHeads,
    columns.keys.shape[3]!,
    columns.values.shape[3]!,
  ];
  const [keySize, valueSize] = stateShape.slice(2) as [number, number];
  const length = isFull && direction === "reverse" ? sizes.queries : sizes.keys;
  const { tile, segments } = cut(problem, length, keySize, valueSize);
  const initial = given && repeated(given, 1);
  const common = { ...problem, direction, tile, segments, keySize, valueSize, rows: null, columns };
  if (segments.count === 1) {
    if (!isFull) return { launches: [], states: initial, segments, final };
    const total = final ?? context.workspace(4 * product(stateShape));
    const sum = scanLaunch({ ...common, initial, final: total }, context);
    const states = denseView(total, "float32", [1, ...stateShape]);
    return { launches: [sum], states, segments, final: null };
  }
  const shape = [segments.count, ...stateShape];
  const sums = context.workspace(4 * product(shape));
  const total = isFull ? (final ?? context.workspace(4 * product(stateShape))) : final;
  const launches = [
    scanLaunch({ ...common, initial: null, final: sums }, context),
    startsLaunch(sums, segments.count, stateShape, given, total, context),
  ];
  const states = isFull
    ? denseView(total!, "float32", [1, ...stateShape])
    : denseView(sums, "float32", shape);
  return { launches, states, segments, final: null };
}

/** The scan that gives rows their output, if there are any, and stores `final`, if that is left. */
function finish(
  problem: Problem,
  direction: Scan["direction"],
  rows: Operand,
  output: number | null,
  columns: Columns,
  { states, segments, final }: Start,
): readonly Launch[] {
  const hasRows = output !== null && product(rows.shape) > 0;
  if (!hasRows && final === null) return [];
  const isFull = problem.visible === "full";
  const [keySize, valueSize] = [columns.keys.shape[3]!, columns.values.shape[3]!];
  const own = cut(problem, rows.shape[2]!, keySize, valueSize);
  const count = isFull ? own.segments.count : segments.count;
  const scan: Scan = {
    ...problem,
    direction,
    tile: own.tile,
    // Without columns any workgroup can have any rows.
    segments: isFull ? own.segments : segments,
    keySize,
    valueSize,
    rows: hasRows ? { x: rows, output } : null,
    columns: isFull ? null : columns,
    initial: states && (isFull ? repeated(states, count) : states),
    final,
  };
  return [scanLaunch(scan, problem.context)];
}

/** Any strides as long as the numbers of a row are neighbours; those of masks and states may lie anywhere. */
const acceptsView: NativeKernel["acceptsView"] = ({ attributes, inputs }, input, view) => {
  const rank = view.shape.length;
  const isState = attributes.state === true && input === (attributes.mode === "mask" ? 4 : 3);
  const isFinal = attributes.final === true && input === inputs.length - 1;
  return rank === 1 || isState || isFinal || view.shape[3] === 1 || view.strides[3] === 1;
};

/** Sizes of 0 have no chunks, and a state has to fit into workgroup memory. */
function supports({ inputs: [q, k, v], attributes }: Node): boolean {
  const [keySize, valueSize] = [q!.shape[3]!, v!.shape[3]!];
  const isBackward = attributes.final !== undefined;
  return (
    keySize > 0 &&
    valueSize > 0 &&
    k!.shape[1]! > 0 &&
    hasTile(keySize) &&
    (!isBackward || hasTile(valueSize))
  );
}

/** The step of a few tokens that a node asks for; `null` where it asks for something else. */
function stepOf({ node, inputs, outputs, prologues }: KernelStep): Step | null {
  const { q, k, v, state, mask } = linearAttentionInputs(inputs, node.attributes);
  const [output = null, final = null] = outputs;
  const sizes = sizesOf({ q, k });
  const scale = node.attributes.scale as number;
  const isLast = node.attributes.mode === "causal" || sizes.queries === 1;
  const isFew = mask === null && isLast && isStep(sizes);
  if (!isFew || state === null || output === null || final === null) return null;
  const norms = { q: prologues?.[0] ?? null, k: prologues?.[1] ?? null };
  return { sizes, scale, q, k, v, norms, state, output, final };
}

/** `cumulativeLinearAttention` in chunks; see `scan.ts`. */
export const cumulativeLinearAttentionKernel: NativeKernel = {
  op: "cumulativeLinearAttention",
  supports,
  omitsOutputs: true,
  acceptsView,
  takesPrologues: (step, context) => {
    const few = stepOf(step);
    const isOther = step.prologues?.some((norm, input) => norm !== null && input > 1);
    return few !== null && isOther !== true && takesNorms(few, context);
  },
  lower: (step, context) => {
    const few = stepOf(step);
    if (few?.sizes.batch) return [stepLaunch(few, context)];
    const { q, k, v, state } = linearAttentionInputs(step.inputs, step.node.attributes);
    const [output = null, final = null] = step.outputs;
    const { problem, order } = readProblem(step, context);
    if (problem.sizes.batch === 0) return [];
    const columns = { keys: k, values: v };
    const begun = begin(problem, "forward", columns, state, final);
    return [...order, ...begun.launches, ...finish(problem, "forward", q, output, columns, begun)];
  },
};

/** `cumulativeLinearAttentionBackward`: three scans; see `scan.ts`. */
export const cumulativeLinearAttentionBackwardKernel: NativeKernel = {
  op: "cumulativeLinearAttentionBackward",
  supports,
  omitsOutputs: true,
  acceptsView,
  lower: (step, context) => {
    const { q, k, v, state, dfinal, ...others } = linearAttentionInputs(
      step.inputs,
      step.node.attributes,
    );
    const dy = others.dy!;
    const [dq = null, dk = null, dv = null, dstate = null] = step.outputs;
    const { problem, order } = readProblem(step, context);
    if (problem.sizes.batch === 0) return [];
    const launches = [...order];
    if (dq !== null) {
      const begun = begin(problem, "forward", { keys: k, values: v }, state, null);
      const exchanged = { ...begun, states: begun.states && transposed(begun.states) };
      const columns = { keys: v, values: k };
      launches.push(...begun.launches, ...finish(problem, "forward", dy, dq, columns, exchanged));
    }
    const columns = { keys: q, values: dy };
    const begun = begin(problem, "reverse", columns, dfinal, dstate);
    const exchanged = { ...begun, final: null, states: begun.states && transposed(begun.states) };
    return [
      ...launches,
      ...begun.launches,
      ...finish(problem, "reverse", k, dv, columns, begun),
      ...finish(problem, "reverse", v, dk, { keys: dy, values: q }, exchanged),
    ];
  },
};
