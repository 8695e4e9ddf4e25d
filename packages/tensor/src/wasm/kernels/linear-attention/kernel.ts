/** The native kernels of cumulative linear attention, forward and backward. */

import type { Node } from "../../../graph/node.js";
import {
  linearAttentionSizes,
  type LinearAttentionMode,
  type LinearAttentionSizes,
} from "../../../ops/linear-attention.js";
import type { NativeStep, Operand } from "../../../plan/schedule.js";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { addressOrNone, floatArgument, launchOf, viewWords, type Word } from "../arguments.js";
import { tileColumns } from "../attention/pack.js";
import { orderCode } from "./order.js";
import { scanCode } from "./scan.js";
import { stepCode } from "./step.js";
import { scanLayout, type ScanSpec } from "./steps.js";

/** Tokens of a chunk: a compromise between the work on scores, which grows with it, and that on states. */
const chunk = 32;

/** What rows, keys, values and states of a scan are; see `scan.ts`. */
interface Scan {
  readonly direction: ScanSpec["direction"];
  readonly rows: Operand;
  readonly keys: Operand;
  readonly values: Operand;
  readonly state: Operand | null;
  /** Whether the state is taken transposed. */
  readonly transposed: boolean;
  /** Which of rows, keys and values is multiplied by the scale. */
  readonly scaled: 0 | 1 | 2;
  readonly output: number;
  readonly finalState: number | null;
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
 * Into how many blocks to cut values so that all threads have work. Every block computes the scores
 * anew, so more blocks are taken only where they gain something.
 */
function chooseBlocks(heads: number, valueSize: number, keySize: number, threads: number): number {
  const panels = valueSize / tileColumns;
  let best = 1;
  let least = Infinity;
  for (let blocks = 1; Number.isInteger(panels) && blocks <= panels; blocks++) {
    if (panels % blocks !== 0) continue;
    const work = (chunk / 2) * keySize + ((chunk / 2 + 2 * keySize) * valueSize) / blocks;
    const time = Math.ceil((heads * blocks) / threads) * work;
    if (time < least * 0.95) [best, least] = [blocks, time];
  }
  return best;
}

/** The launch of a scan, or of the scans of dv and dk as one. */
function scan(problem: Problem, scans: readonly Scan[], blocks: number): Launch {
  const { sizes, mode } = problem;
  const { batch, keyHeads, group, queries, keys } = sizes;
  const specs = scans.map(
    ({ direction, rows, values, state, transposed, finalState }): ScanSpec => ({
      direction,
      mode,
      keySize: rows.shape[3]!,
      valueSize: values.shape[3]! / blocks,
      capacity: chunk,
      state: state === null ? null : transposed ? "columns" : "rows",
      finalState: finalState !== null,
    }),
  );
  const [spec] = specs as [ScanSpec];
  const { direction, keySize, valueSize } = spec;
  const work = chunk * (keySize + valueSize) + 4 * keySize * valueSize;
  const tokens = batch * keyHeads * group * Math.max(queries, keys) * blocks * scans.length;
  const sizesText = `${batch * keyHeads * group}x${queries}x${keySize}x${valueSize * blocks}`;
  return launchOf(
    `linear attention ${direction} ${mode} ${sizesText}`,
    scanCode(spec, scans.length > 1),
    scans.flatMap((own) => scanWords(problem, own, blocks)),
    batch * keyHeads * blocks,
    tokens * work,
    1,
    specs.reduce((sum, own) => sum + scanLayout(own).bytes, 0),
  );
}

/** The words of a scan, as `scanSteps` reads them. */
function scanWords({ sizes, scale, order }: Problem, own: Scan, blocks: number): Word[] {
  const { rows, keys, values, state } = own;
  return [
    ...[rows, keys, values, state].flatMap((operand) => viewWords(operand, 4)),
    ...[0, 1, 2].map((i) => floatArgument(i === own.scaled ? scale : 1)),
    ...[own.output, own.finalState, ...[0, 1, 2].map((i) => order[i])].map(addressOrNone),
    ...[rows.shape[2]!, keys.shape[2]!, sizes.keyHeads, sizes.group, values.shape[3]!, blocks],
  ];
}

function blocksOf({ context, sizes }: Problem, { rows, values }: Scan): number {
  const heads = sizes.batch * sizes.keyHeads;
  return chooseBlocks(heads, values.shape[3]!, rows.shape[3]!, context.threads);
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

/** The operands of a step by name. */
interface Operands {
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  readonly mask: Operand | null;
  readonly state: Operand | null;
  readonly dy: Operand | null;
  readonly dfinal: Operand | null;
}

function readOperands(step: NativeStep): Operands {
  const { mode, state, final } = step.node.attributes;
  const [q, k, v, ...rest] = step.inputs as [Operand, Operand, Operand, ...Operand[]];
  const next = (present: boolean): Operand | null => (present ? rest.shift()! : null);
  return {
    q,
    k,
    v,
    mask: next(mode === "mask"),
    state: next(state === true),
    dy: next(final !== undefined),
    dfinal: next(final === true),
  };
}

/** The problem of a step, and the launches it starts with: the queries of a mask are sorted. */
function readProblem(
  step: NativeStep,
  { q, k, v, mask }: Operands,
  context: LoweringContext,
): { problem: Problem; launches: Launch[] } {
  const { mode, scale } = step.node.attributes;
  const sizes = linearAttentionSizes(q, k, v);
  const { queries, keys } = sizes;
  const problem: Problem = {
    context,
    sizes,
    mode: mode as LinearAttentionMode,
    scale: scale as number,
    order: mask ? [queries, queries, keys + 2].map((n) => context.workspace(n * 4)) : [],
  };
  const launches: Launch[] = [];
  if (mask) {
    const words = [...viewWords(mask, 1), ...problem.order.map(addressOrNone), queries, keys];
    const name = `linear attention order ${queries}`;
    launches.push(launchOf(name, orderCode(), words, 1, 4 * (queries + keys)));
  }
  return { problem, launches };
}

/** Sizes for which code is made; nothing is computed where there are none. */
function supports(node: Node): boolean {
  const [q, , v] = node.inputs;
  return q!.shape[3]! > 0 && v!.shape[3]! > 0 && q!.shape[1]! > 0;
}

/** Any strides as long as the numbers of a row are neighbours. */
function acceptsView(_node: Node, _input: number, view: Operand): boolean {
  const last = view.shape.length - 1;
  return view.shape[last] === 1 || view.strides[last] === 1 || last === 0;
}

/** `cumulativeLinearAttention` in chunks; see `scan.ts`. */
export const cumulativeLinearAttentionKernel: NativeKernel = {
  op: "cumulativeLinearAttention",
  supports,
  acceptsView,
  lower: (step, context) => {
    const operands = readOperands(step);
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
    const own: Scan = {
      direction: "forward",
      rows: q,
      keys: k,
      values: v,
      state,
      transposed: false,
      scaled: 0,
      output,
      finalState,
    };
    return [...launches, scan(problem, [own], blocksOf(problem, own))];
  },
};

function outputBytes(rows: Operand, values: Operand): number {
  const [batch, heads, length] = rows.shape as [number, number, number];
  return batch * heads * length * values.shape[3]! * 4;
}

/** `cumulativeLinearAttentionBackward`: three scans, or two and one of them a pair; see `scan.ts`. */
export const cumulativeLinearAttentionBackwardKernel: NativeKernel = {
  op: "cumulativeLinearAttentionBackward",
  supports,
  acceptsView,
  lower: (step, context) => {
    const operands = readOperands(step);
    const { q, k, v, state, dfinal } = operands;
    const dy = operands.dy!;
    const { problem, launches } = readProblem(step, operands, context);
    if (problem.sizes.batch === 0) return [];
    const [dq = null, dk = null, dv = null, dstate = null] = step.outputs;
    const scans: Scan[] = [];
    if (dq !== null) {
      scans.push({
        direction: "forward",
        rows: dy,
        keys: v,
        values: k,
        state,
        transposed: true,
        scaled: 0,
        output: dq,
        finalState: null,
      });
    }
    const reverse = { direction: "reverse", state: dfinal } as const;
    if (dv !== null || dstate !== null) {
      scans.push({
        ...reverse,
        rows: k,
        keys: q,
        values: dy,
        transposed: false,
        scaled: 1,
        output: dv ?? context.workspace(outputBytes(k, dy)),
        finalState: dstate,
      });
    }
    if (dk !== null) {
      scans.push({
        ...reverse,
        rows: v,
        keys: dy,
        values: q,
        transposed: true,
        scaled: 2,
        output: dk,
        finalState: null,
      });
    }
    const pair = scans.filter(({ direction }) => direction === "reverse");
    const isPair = pair.length > 1 && pair.every((own) => blocksOf(problem, own) === 1);
    for (const own of isPair ? scans.slice(0, -2) : scans) {
      launches.push(scan(problem, [own], blocksOf(problem, own)));
    }
    return isPair ? [...launches, scan(problem, pair, 1)] : launches;
  },
};
