/** The native kernels of cumulative linear attention, forward and backward. */

import type { Node } from "../../../graph/node.js";
import {
  linearAttentionSizes,
  type LinearAttentionMode,
  type LinearAttentionSizes,
} from "../../../ops/linear-attention.js";
import type { NativeStep, Operand } from "../../../plan/schedule.js";
import type { Launch, LaunchArgument } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import {
  addressOf,
  addressOfBuffer,
  type ArgumentValues,
  argumentWords,
  floatArgument,
} from "../arguments.js";
import { panelColumns } from "../attention/register-tile.js";
import { orderArguments, orderCode } from "./order.js";
import { scanCode } from "./scan.js";
import { scanArguments, scanScratchBytes, type ScanSpec } from "./scan-spec.js";
import { stepArguments, stepCode } from "./step.js";

/** Tokens of a chunk: a compromise between the work on scores, which grows with it, and that on states. */
const chunk = 32;

/** What rows, keys, values and states of a scan are; see `scan.ts`. */
interface ScanInputs {
  readonly direction: "forward" | "reverse";
  readonly rows: Operand;
  readonly keys: Operand;
  readonly values: Operand;
  readonly state: Operand | null;
  /** Whether the state is taken transposed. */
  readonly transposed: boolean;
  readonly scaled: ScanSpec["scaled"];
  readonly output: number;
  readonly finalState: number | null;
}

/** What all scans of a step share. */
interface Problem {
  readonly context: LoweringContext;
  readonly sizes: LinearAttentionSizes;
  readonly mode: LinearAttentionMode;
  readonly scale: number;
  readonly order: Order | null;
}

/** Buffers of sorted queries; see `order.ts`. */
interface Order {
  readonly order: number;
  readonly counts: number;
  readonly starts: number;
}

/** Bytes from one element to the next along an axis of a float32 or int32 view. */
function stride({ strides, shape }: Operand, axis: number): number {
  return shape[axis] === 1 ? 4 : strides[axis]! * 4;
}

/**
 * Into how many blocks to cut values so that all threads have work. Every block computes the scores
 * anew, so more blocks are taken only where they gain something.
 */
function chooseBlocks(heads: number, valueSize: number, keySize: number, threads: number): number {
  const panels = valueSize / panelColumns;
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

/** What a scan contributes to a launch. */
interface ScanParts {
  readonly spec: ScanSpec;
  readonly arguments: readonly LaunchArgument[];
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  readonly work: number;
}

function describeScan(
  { sizes, mode, scale, order }: Problem,
  inputs: ScanInputs,
  blocks: number,
): ScanParts {
  const { direction, rows, keys, values, state, transposed, finalState } = inputs;
  const keySize = rows.shape[3]!;
  const outputSize = values.shape[3]!;
  const spec: ScanSpec = {
    direction,
    mode,
    keySize,
    valueSize: outputSize / blocks,
    capacity: chunk,
    state: state === null ? null : transposed ? "columns" : "rows",
    finalState: finalState !== null,
    grouped: sizes.group > 1,
    scaled: inputs.scaled,
  };
  const words: ArgumentValues<typeof scanArguments> = {
    rows: addressOf(rows),
    keys: addressOf(keys),
    values: addressOf(values),
    output: addressOfBuffer(inputs.output),
    state: state ? addressOf(state) : 0,
    finalState: finalState === null ? 0 : addressOfBuffer(finalState),
    order: order ? addressOfBuffer(order.order) : 0,
    counts: order ? addressOfBuffer(order.counts) : 0,
    starts: order ? addressOfBuffer(order.starts) : 0,
    rowBatch: stride(rows, 0),
    rowHead: stride(rows, 1),
    rowStride: stride(rows, 2),
    keyBatch: stride(keys, 0),
    keyHead: stride(keys, 1),
    keyStride: stride(keys, 2),
    valueBatch: stride(values, 0),
    valueHead: stride(values, 1),
    valueStride: stride(values, 2),
    stateBatch: state ? stride(state, 0) : 0,
    stateHead: state ? stride(state, 1) : 0,
    stateStride: state ? stride(state, 2) : 0,
    stateBlock: state ? spec.valueSize * (transposed ? stride(state, 2) : 4) : 0,
    keyHeads: sizes.keyHeads,
    group: sizes.group,
    rowCount: rows.shape[2]!,
    columnCount: keys.shape[2]!,
    outputSize,
    blocks,
    scale: floatArgument(scale),
  };
  const tokens = sizes.batch * sizes.keyHeads * sizes.group * Math.max(sizes.queries, sizes.keys);
  const read = [rows, keys, values, ...(state ? [state] : [])].map((operand) => operand.buffer);
  return {
    spec,
    arguments: argumentWords(scanArguments, words),
    reads: order ? [...read, order.order, order.counts, order.starts] : read,
    writes: finalState === null ? [inputs.output] : [inputs.output, finalState],
    work: tokens * (chunk * (keySize + outputSize) + 4 * keySize * outputSize),
  };
}

function blocksOf({ context, sizes }: Problem, { rows, values }: ScanInputs): number {
  const heads = sizes.batch * sizes.keyHeads;
  return chooseBlocks(heads, values.shape[3]!, rows.shape[3]!, context.threads);
}

function scan(problem: Problem, inputs: ScanInputs): Launch {
  const blocks = blocksOf(problem, inputs);
  const parts = describeScan(problem, inputs, blocks);
  return {
    name: nameOf(problem, inputs),
    code: scanCode(parts.spec),
    ...parts,
    items: problem.sizes.batch * problem.sizes.keyHeads * blocks,
    grain: 1,
    scratchBytes: scanScratchBytes(parts.spec),
  };
}

/** The scans of dv and dk as one; see `scan-pair.ts`. */
function scanPair(problem: Problem, dv: ScanInputs, dk: ScanInputs): Launch {
  const [first, second] = [describeScan(problem, dv, 1), describeScan(problem, dk, 1)];
  return {
    name: `${nameOf(problem, dv)} pair`,
    code: scanCode(first.spec, true),
    arguments: [...first.arguments, ...second.arguments],
    reads: [...first.reads, ...second.reads],
    writes: [...first.writes, ...second.writes],
    work: first.work + second.work,
    items: problem.sizes.batch * problem.sizes.keyHeads,
    grain: 1,
    scratchBytes: scanScratchBytes(first.spec) + scanScratchBytes(second.spec),
  };
}

function nameOf({ sizes, mode }: Problem, { direction, rows, values }: ScanInputs): string {
  const heads = sizes.batch * sizes.keyHeads * sizes.group;
  const size = `${heads}x${rows.shape[2]!}x${rows.shape[3]!}x${values.shape[3]!}`;
  return `linear attention ${direction} ${mode} ${size}`;
}

/** One query and one key of each head, with a state that is read and written: a step of decoding. */
function decode(
  { sizes, scale }: Problem,
  { q, k, v, state }: Operands & { readonly state: Operand },
  output: number,
  finalState: number,
): Launch {
  const { batch, keyHeads, group, keySize, valueSize } = sizes;
  const words: ArgumentValues<typeof stepArguments> = {
    q: addressOf(q),
    k: addressOf(k),
    v: addressOf(v),
    state: addressOf(state),
    output: addressOfBuffer(output),
    finalState: addressOfBuffer(finalState),
    qBatch: stride(q, 0),
    qHead: stride(q, 1),
    kBatch: stride(k, 0),
    kHead: stride(k, 1),
    vBatch: stride(v, 0),
    vHead: stride(v, 1),
    stateBatch: stride(state, 0),
    stateHead: stride(state, 1),
    stateRow: stride(state, 2),
    keyHeads,
    group,
    scale: floatArgument(scale),
  };
  return {
    name: `linear attention step ${batch * keyHeads * group}x${keySize}x${valueSize}`,
    code: stepCode(keySize, valueSize),
    arguments: argumentWords(stepArguments, words),
    items: batch * keyHeads,
    // One head takes about a microsecond at a size of 64.
    grain: Math.max(1, Math.round(16384 / (keySize * valueSize * group))),
    scratchBytes: 0,
    reads: [q, k, v, state].map(({ buffer }) => buffer),
    writes: [output, finalState],
    work: batch * keyHeads * keySize * valueSize * (2 + 2 * group),
  };
}

/** Sorts the queries of a mask. */
function sortQueries(
  mask: Operand,
  sizes: LinearAttentionSizes,
  context: LoweringContext,
): { order: Order; launch: Launch } {
  const { queries, keys } = sizes;
  const order: Order = {
    order: context.workspace(queries * 4),
    counts: context.workspace(queries * 4),
    starts: context.workspace((keys + 2) * 4),
  };
  const words: ArgumentValues<typeof orderArguments> = {
    mask: addressOf(mask),
    stride: stride(mask, 0),
    order: addressOfBuffer(order.order),
    counts: addressOfBuffer(order.counts),
    starts: addressOfBuffer(order.starts),
    queries,
    keys,
  };
  const launch: Launch = {
    name: `linear attention order ${queries}`,
    code: orderCode,
    arguments: argumentWords(orderArguments, words),
    items: 1,
    grain: 1,
    scratchBytes: 0,
    reads: [mask.buffer],
    writes: [order.order, order.counts, order.starts],
    work: 4 * (queries + keys),
  };
  return { order, launch };
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

/** The problem of a step, and the launches it starts with. */
function readProblem(
  step: NativeStep,
  operands: Operands,
  context: LoweringContext,
): { problem: Problem; launches: Launch[] } {
  const { mode, scale } = step.node.attributes;
  const { q, k, v, mask } = operands;
  const sizes = linearAttentionSizes(q, k, v);
  const sorted = mask && sortQueries(mask, sizes, context);
  return {
    problem: {
      context,
      sizes,
      mode: mode as LinearAttentionMode,
      scale: scale as number,
      order: sorted && sorted.order,
    },
    launches: sorted ? [sorted.launch] : [],
  };
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
      return [decode(problem, { ...operands, state }, output, finalState)];
    }
    return [
      ...launches,
      scan(problem, {
        direction: "forward",
        rows: q,
        keys: k,
        values: v,
        state,
        transposed: false,
        scaled: "rows",
        output,
        finalState,
      }),
    ];
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
    if (dq !== null) {
      const inputs = { rows: dy, keys: v, values: k, state, transposed: true } as const;
      const rest = { direction: "forward", scaled: "rows", finalState: null } as const;
      launches.push(scan(problem, { ...inputs, ...rest, output: dq }));
    }
    const reverse = { direction: "reverse", state: dfinal } as const;
    const keyInputs: ScanInputs = {
      ...reverse,
      rows: v,
      keys: dy,
      values: q,
      transposed: true,
      scaled: "values",
      output: dk ?? context.workspace(outputBytes(v, q)),
      finalState: null,
    };
    const valueInputs: ScanInputs = {
      ...reverse,
      rows: k,
      keys: q,
      values: dy,
      transposed: false,
      scaled: "keys",
      output: dv ?? context.workspace(outputBytes(k, dy)),
      finalState: dstate,
    };
    const needsKeys = dk !== null;
    const needsValues = dv !== null || dstate !== null;
    const isWhole = [keyInputs, valueInputs].every((inputs) => blocksOf(problem, inputs) === 1);
    if (needsKeys && needsValues && isWhole) {
      return [...launches, scanPair(problem, valueInputs, keyInputs)];
    }
    if (needsKeys) launches.push(scan(problem, keyInputs));
    if (needsValues) launches.push(scan(problem, valueInputs));
    return launches;
  },
};
