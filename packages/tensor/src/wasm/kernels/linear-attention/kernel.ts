/** The native kernels of cumulative linear attention, forward and backward. */

import {
  linearAttentionInputs,
  linearAttentionSizes,
  type LinearAttentionInputs,
  type LinearAttentionMode,
  type LinearAttentionSizes,
} from "../../../ops/linear-attention.js";
import type { NativeStep, Operand } from "../../../plan/schedule.js";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { addressOrNone, floatArgument, launchOf, viewWords, type Word } from "../arguments.js";
import { hasDenseRows, hasNumbers } from "../attention/block.js";
import { tileColumns } from "../attention/matrix.js";
import { orderCode } from "./order.js";
import { scanCode } from "./scan.js";
import { stepCode } from "./step.js";
import { scanLayout, type ScanSpec } from "./steps.js";

/** Tokens of a chunk: a compromise between the work on scores, which grows with it, and that on states. */
const chunk = 32;

/** A scan; see `scan.ts`. */
interface Scan {
  readonly spec: ScanSpec;
  /** As `scanSteps` reads them. */
  readonly words: readonly Word[];
  /** Blocks that values are cut into. */
  readonly blocks: number;
}

/** What all scans of a step share. */
interface Problem {
  readonly context: LoweringContext;
  readonly sizes: LinearAttentionSizes;
  readonly mode: LinearAttentionMode;
  readonly scale: number;
  /** Buffers of sorted queries: order, counts and starts; see `order.ts`. */
  readonly order: readonly number[];
}

/**
 * Into how many blocks to cut values so that all threads have work. Every block does the `shared` part
 * of the work anew, so more blocks are taken only where they gain something.
 */
export function chooseBlocks(
  heads: number,
  valueSize: number,
  threads: number,
  [shared, own]: readonly [shared: number, own: number],
): number {
  const panels = valueSize / tileColumns;
  let best = 1;
  let least = Infinity;
  for (let blocks = 1; Number.isInteger(panels) && blocks <= panels; blocks++) {
    if (panels % blocks !== 0) continue;
    const work = shared + own / blocks;
    const time = Math.ceil((heads * blocks) / threads) * work;
    if (time < least * 0.95) [best, least] = [blocks, time];
  }
  return best;
}

/**
 * A scan of rows, keys and values, of which number `scaled` is multiplied by the scale; its outputs are
 * those of rows, and the last state where that is wanted.
 */
function scanOf(
  { context, sizes, mode, scale, order }: Problem,
  direction: ScanSpec["direction"],
  operands: readonly [rows: Operand, keys: Operand, values: Operand],
  scaled: number,
  state: Operand | null,
  stateForm: "rows" | "columns",
  outputs: readonly [rows: number, state: number | null],
): Scan {
  const [rows, keys, values] = operands;
  const { batch, keyHeads, group } = sizes;
  const [keySize, outputSize] = [rows.shape[3]!, values.shape[3]!];
  const work = [(chunk / 2) * keySize, (chunk / 2 + 2 * keySize) * outputSize] as const;
  const blocks = chooseBlocks(batch * keyHeads, outputSize, context.threads, work);
  const spec: ScanSpec = {
    direction,
    mode,
    keySize,
    valueSize: outputSize / blocks,
    // Without scores a larger chunk costs nothing.
    capacity: mode === "full" ? 2 * chunk : chunk,
    state: state && stateForm,
    finalState: outputs[1] !== null,
  };
  const words = [
    ...[...operands, state].flatMap((operand) => viewWords(operand, 4)),
    ...operands.map((_, i) => floatArgument(i === scaled ? scale : 1)),
    ...[...outputs, ...[0, 1, 2].map((i) => order[i])].map(addressOrNone),
    ...[rows.shape[2]!, keys.shape[2]!, keyHeads, group, outputSize, blocks],
  ];
  return { spec, words, blocks };
}

/** The launch of a scan, or of the scans of dv and dk as one. */
function scanLaunch({ sizes, mode }: Problem, scans: readonly Scan[]): Launch {
  const { batch, keyHeads, group, queries, keys } = sizes;
  const [{ spec, blocks }] = scans as readonly [Scan];
  const { direction, keySize, valueSize } = spec;
  const heads = batch * keyHeads * blocks;
  const work = chunk * (keySize + valueSize) + 4 * keySize * valueSize;
  return launchOf(
    `linear attention ${direction} ${mode} ${heads * group}x${queries}x${keySize}x${valueSize}`,
    scanCode(spec, scans.length > 1),
    scans.flatMap(({ words }) => words),
    heads,
    heads * group * Math.max(queries, keys) * scans.length * work,
    1,
    scans.reduce((sum, own) => sum + scanLayout(own.spec).bytes, 0),
  );
}

/** One query and one key of each head, with a state that is read and written: a step of decoding. */
function decode(
  { sizes, scale }: Problem,
  views: readonly Operand[],
  outputs: readonly number[],
): Launch {
  const { batch, keyHeads, group, keySize, valueSize } = sizes;
  return launchOf(
    `linear attention step ${batch * keyHeads * group}x${keySize}x${valueSize}`,
    stepCode(keySize, valueSize),
    [
      ...views.flatMap((operand) => viewWords(operand, 4)),
      ...outputs.map(addressOrNone),
      ...[keyHeads, group, floatArgument(scale)],
    ],
    batch * keyHeads,
    batch * keyHeads * keySize * valueSize * (2 + 2 * group),
    // One head takes about a microsecond at a size of 64.
    Math.round(16384 / (keySize * valueSize * group)),
  );
}

/** Sorts the queries of a mask by what they see: the buffers of order, counts and starts. */
export function sortQueries(
  mask: Operand | null,
  queries: number,
  keys: number,
  context: LoweringContext,
): { order: number[]; launches: Launch[] } {
  if (mask === null) return { order: [], launches: [] };
  const order = [queries, queries, keys + 2].map((n) => context.workspace(n * 4));
  const words = [...viewWords(mask, 1), ...order.map(addressOrNone), queries, keys];
  const name = `linear attention order ${queries}`;
  return { order, launches: [launchOf(name, orderCode(), words, 1, 4 * (queries + keys))] };
}

/** The problem of a step, and the launches it starts with: the queries of a mask are sorted. */
function readProblem(
  step: NativeStep,
  { q, k, v, mask }: LinearAttentionInputs<Operand>,
  context: LoweringContext,
): { problem: Problem; launches: Launch[] } {
  const { mode, scale } = step.node.attributes;
  const sizes = linearAttentionSizes(q, k, v);
  const { queries, keys } = sizes;
  const { order, launches } = sortQueries(mask, queries, keys, context);
  const problem: Problem = {
    context,
    sizes,
    mode: mode as LinearAttentionMode,
    scale: scale as number,
    order,
  };
  return { problem, launches };
}

/** Any strides as long as the numbers of a row are neighbours; those of a mask may lie anywhere. */
const acceptsView: NativeKernel["acceptsView"] = (_node, _input, view) =>
  view.shape.length === 1 || hasDenseRows(view);

/** `cumulativeLinearAttention` in chunks; see `scan.ts`. */
export const cumulativeLinearAttentionKernel: NativeKernel = {
  op: "cumulativeLinearAttention",
  supports: hasNumbers,
  acceptsView,
  lower: (step, context) => {
    const operands = linearAttentionInputs(step.inputs, step.node.attributes);
    const { q, k, v, state } = operands;
    const { problem, launches } = readProblem(step, operands, context);
    const output = step.outputs[0] ?? context.workspace(outputBytes(q, v));
    const finalState = step.outputs[1] ?? null;
    const { sizes, mode } = problem;
    if (sizes.batch === 0) return [];
    const isStep = sizes.queries === 1 && sizes.keys === 1 && mode !== "mask";
    if (isStep && state && finalState !== null) {
      return [decode(problem, [q, k, v, state], [output, finalState])];
    }
    const own = scanOf(problem, "forward", [q, k, v], 0, state, "rows", [output, finalState]);
    return [...launches, scanLaunch(problem, [own])];
  },
};

function outputBytes(rows: Operand, values: Operand): number {
  const [batch, heads, length] = rows.shape as [number, number, number];
  return batch * heads * length * values.shape[3]! * 4;
}

/** `cumulativeLinearAttentionBackward`: three scans, or two and one of them a pair; see `scan.ts`. */
export const cumulativeLinearAttentionBackwardKernel: NativeKernel = {
  op: "cumulativeLinearAttentionBackward",
  supports: hasNumbers,
  acceptsView,
  lower: (step, context) => {
    const operands = linearAttentionInputs(step.inputs, step.node.attributes);
    const { q, k, v, state, dfinal } = operands;
    const dy = operands.dy!;
    const { problem, launches } = readProblem(step, operands, context);
    if (problem.sizes.batch === 0) return [];
    const [dq = null, dk = null, dv = null, dstate = null] = step.outputs;
    const scans: Scan[] = [];
    if (dq !== null) {
      scans.push(scanOf(problem, "forward", [dy, v, k], 0, state, "columns", [dq, null]));
    }
    if (dv !== null || dstate !== null) {
      const output = dv ?? context.workspace(outputBytes(k, dy));
      scans.push(scanOf(problem, "reverse", [k, q, dy], 1, dfinal, "rows", [output, dstate]));
    }
    if (dk !== null) {
      scans.push(scanOf(problem, "reverse", [v, dy, q], 2, dfinal, "columns", [dk, null]));
    }
    const pair = scans.filter(({ spec }) => spec.direction === "reverse");
    const isPair = pair.length > 1 && pair.every(({ blocks }) => blocks === 1);
    const alone = isPair ? scans.slice(0, -2) : scans;
    return [
      ...launches,
      ...alone.map((own) => scanLaunch(problem, [own])),
      ...(isPair ? [scanLaunch(problem, pair)] : []),
    ];
  },
};
