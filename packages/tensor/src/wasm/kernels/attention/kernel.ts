/** The native kernels of scaled dot-product attention, forward and backward. */

import type { Attributes, Node } from "../../../graph/node.js";
import { dropThreshold } from "../../../ops/random.js";
import type { NativeStep, Operand } from "../../../plan/schedule.js";
import { bytesPerElement } from "../../../tensor/dtype.js";
import { sizeOf } from "../../../tensor/shape.js";
import type { Launch } from "../../launch.js";
import type { NativeKernel } from "../../native.js";
import {
  addressOf,
  addressOfBuffer,
  argumentWords,
  type ArgumentValues,
  floatArgument,
} from "../arguments.js";
import {
  backwardArguments,
  backwardCode,
  backwardScratchBytes,
  type BackwardSpec,
  rowProductArguments,
  rowProductCode,
} from "./backward.js";
import { type AttentionSpec, blockSize, type commonArguments } from "./block.js";
import {
  forwardArguments,
  forwardBlock,
  forwardCode,
  forwardScratchBytes,
  type ForwardSpec,
} from "./forward.js";
import { noLimit } from "./visibility.js";

/** A step's operands by name. */
interface Operands {
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  readonly guide: Operand | null;
  /** What comes between the guide and the draw. */
  readonly rest: readonly Operand[];
  /** Key 0, key 1 and counter. */
  readonly draw: readonly Operand[];
}

function readOperands({ inputs, node }: NativeStep): Operands {
  const { hasMask, hasBias, dropout } = node.attributes;
  const [q, k, v, ...rest] = inputs as [Operand, Operand, Operand, ...Operand[]];
  const guide = hasMask === true || hasBias === true ? rest.shift()! : null;
  const draw = (dropout as number) > 0 ? rest.splice(-3) : [];
  return { q, k, v, guide, rest, draw };
}

function specOf({ q, v }: Operands, attributes: Attributes): AttentionSpec {
  return {
    keySize: q.shape[3]!,
    valueSize: v.shape[3]!,
    guide: attributes.hasMask === true ? "mask" : attributes.hasBias === true ? "bias" : null,
    dropout: (attributes.dropout as number) > 0,
  };
}

/** Bytes between neighbours along an axis counted from the end; 0 where broadcast. */
function stride({ strides, shape, dtype }: Operand, fromEnd: number): number {
  const axis = shape.length - fromEnd;
  if (axis < 0 || shape[axis] === 1) return 0;
  return strides[axis]! * bytesPerElement(dtype);
}

/** How many keys before and after its own place a query sees. */
function windowOf({ causal, window }: Attributes): { left: number; right: number } {
  const [left, right] = (window ?? [-1, -1]) as readonly [number, number];
  const limit = (n: number): number => (n < 0 || n > noLimit ? noLimit : n);
  return { left: limit(left), right: causal === true ? 0 : limit(right) };
}

function commonWords(
  operands: Operands,
  attributes: Attributes,
): ArgumentValues<typeof commonArguments> {
  const { q, k, v, guide, draw } = operands;
  const [batch, heads, queries] = q.shape as [number, number, number];
  const [, keyHeads, keys] = k.shape as [number, number, number];
  const p = attributes.dropout as number;
  const drawWord = (i: number): ReturnType<typeof addressOf> | number =>
    draw[i] ? addressOf(draw[i]) : 0;
  return {
    q: addressOf(q),
    k: addressOf(k),
    v: addressOf(v),
    guide: guide ? addressOf(guide) : 0,
    key0: drawWord(0),
    key1: drawWord(1),
    counter: drawWord(2),
    qBatch: stride(q, 4),
    qHead: stride(q, 3),
    qRow: stride(q, 2),
    kBatch: stride(k, 4),
    kHead: stride(k, 3),
    kRow: stride(k, 2),
    vBatch: stride(v, 4),
    vHead: stride(v, 3),
    vRow: stride(v, 2),
    guideBatch: guide ? stride(guide, 4) : 0,
    guideHead: guide ? stride(guide, 3) : 0,
    guideRow: guide ? stride(guide, 2) : 0,
    guideColumn: guide ? stride(guide, 1) : 0,
    batch,
    heads,
    group: heads / keyHeads,
    queries,
    keys,
    ...windowOf(attributes),
    scale: floatArgument(attributes.scale as number),
    threshold: dropThreshold(p),
    dropoutScale: floatArgument(p === 1 ? 0 : 1 / (1 - p)),
  };
}

/** Pairs of a query and a key that it sees, roughly: masks are not looked at. */
function visiblePairs({ q, k }: Operands, attributes: Attributes): number {
  const [batch, heads, queries] = q.shape as [number, number, number];
  const keys = k.shape[2]!;
  const { left, right } = windowOf(attributes);
  const whole = left === noLimit && right === noLimit;
  const seen = whole ? keys : Math.min(keys / (left === noLimit ? 2 : 1), left + right + 1);
  return batch * heads * queries * seen;
}

const buffersOf = ({ q, k, v, guide, rest, draw }: Operands): number[] =>
  [q, k, v, ...(guide ? [guide] : []), ...rest, ...draw].map(({ buffer }) => buffer);

function supports(node: Node): boolean {
  const [q, k, v] = node.inputs;
  return q!.shape[3]! > 0 && v!.shape[3]! > 0 && k!.shape[1]! > 0;
}

/** Masks and biases may be any view; the numbers of other tensors' rows must be neighbours. */
function acceptsView({ attributes }: Node, input: number, view: Operand): boolean {
  const hasGuide = attributes.hasMask === true || attributes.hasBias === true;
  if (hasGuide && input === 3) return true;
  const last = view.shape.length - 1;
  return last < 0 || view.shape[last] === 1 || view.strides[last] === 1;
}

/** Up to so many queries are taken one by one: packing keys pays off when several queries use them. */
const directQueries = 3;

/** `scaledDotProductAttention`; see `forward.ts`. */
export const scaledDotProductAttentionKernel: NativeKernel = {
  op: "scaledDotProductAttention",
  supports,
  acceptsView,
  lower: (step, context): readonly Launch[] => {
    const { attributes } = step.node;
    const operands = readOperands(step);
    const { q } = operands;
    const [batch, heads, queries] = q.shape as [number, number, number];
    const spec: ForwardSpec = {
      ...specOf(operands, attributes),
      direct: queries <= directQueries,
    };
    const blocks = Math.ceil(queries / forwardBlock(spec).rows);
    const items = batch * heads * blocks;
    if (items === 0) return [];
    const rows = batch * heads * queries;
    const y = step.outputs[0] ?? context.workspace(rows * spec.valueSize * 4);
    const lse = step.outputs[1] ?? context.workspace(rows * 4);
    return [
      {
        name: `attention ${batch * heads}x${queries}x${operands.k.shape[2]!}x${spec.keySize}x${spec.valueSize}`,
        code: forwardCode(spec),
        arguments: argumentWords(forwardArguments, {
          ...commonWords(operands, attributes),
          y: addressOfBuffer(y),
          lse: addressOfBuffer(lse),
          blocks,
        }),
        items,
        grain: 1,
        scratchBytes: forwardScratchBytes(spec),
        reads: buffersOf(operands),
        writes: [y, lse],
        work: 2 * visiblePairs(operands, attributes) * (spec.keySize + spec.valueSize),
      },
    ];
  },
};

/** Which parts of the backward pass one launch does, and into how many items a head is cut. */
interface BackwardPart {
  readonly queries: boolean;
  readonly keys: boolean;
  readonly keyItems: number;
  readonly queryItems: number;
}

/**
 * Whole heads where that keeps all threads busy; else first dk and dv, then dq, which takes seven
 * products of blocks instead of five but any number of threads.
 */
function backwardParts(
  heads: number,
  keyBlocks: number,
  queryBlocks: number,
  threads: number,
): readonly BackwardPart[] {
  const whole = Math.ceil(heads / threads) * 5;
  const parts =
    (Math.ceil((heads * keyBlocks) / threads) * 4) / keyBlocks +
    (Math.ceil((heads * queryBlocks) / threads) * 3) / queryBlocks;
  if (whole <= parts) return [{ queries: true, keys: true, keyItems: 1, queryItems: 1 }];
  return [
    { queries: false, keys: true, keyItems: keyBlocks, queryItems: 1 },
    { queries: true, keys: false, keyItems: 1, queryItems: queryBlocks },
  ];
}

/** `scaledDotProductAttentionBackward`; see `backward.ts`. */
export const scaledDotProductAttentionBackwardKernel: NativeKernel = {
  op: "scaledDotProductAttentionBackward",
  supports,
  acceptsView,
  lower: (step, context): readonly Launch[] => {
    const { attributes } = step.node;
    const operands = readOperands(step);
    const { q, k, v } = operands;
    const [y, lse, dy] = operands.rest as [Operand, Operand, Operand];
    const base = specOf(operands, attributes);
    const [batch, heads, queries] = q.shape as [number, number, number];
    const [, keyHeads, keys] = k.shape as [number, number, number];
    if (batch === 0) return [];
    const products = context.workspace(batch * heads * queries * 4);
    const output = (i: number, { shape }: Operand): number =>
      step.outputs[i] ?? context.workspace(sizeOf(shape) * 4);
    const [dq, dk, dv] = [output(0, q), output(1, k), output(2, v)];
    const block = blockSize(base);
    const blocks = [keys, queries].map((n) => Math.max(1, Math.ceil(n / block)));
    const parts = backwardParts(batch * keyHeads, blocks[0]!, blocks[1]!, context.threads);
    const pairs = visiblePairs(operands, attributes);
    const strides = {
      dyBatch: stride(dy, 4),
      dyHead: stride(dy, 3),
      dyRow: stride(dy, 2),
    };
    const launches = parts.map((part): Launch => {
      const spec: BackwardSpec = { ...base, queries: part.queries, keys: part.keys };
      const size = base.keySize + base.valueSize;
      const factor = (part.queries ? base.keySize : 0) + (part.keys ? size : 0) + size;
      return {
        name: `attention backward ${batch * heads}x${queries}x${keys}x${base.keySize}x${base.valueSize}`,
        code: backwardCode(spec),
        arguments: argumentWords(backwardArguments, {
          ...commonWords(operands, attributes),
          ...strides,
          dy: addressOf(dy),
          lse: addressOf(lse),
          products: addressOfBuffer(products),
          dq: part.queries ? addressOfBuffer(dq) : 0,
          dk: part.keys ? addressOfBuffer(dk) : 0,
          dv: part.keys ? addressOfBuffer(dv) : 0,
          lseBatch: stride(lse, 3),
          lseHead: stride(lse, 2),
          keyItems: part.keyItems,
          queryItems: part.queryItems,
        }),
        items: batch * keyHeads * part.keyItems * part.queryItems,
        grain: 1,
        scratchBytes: backwardScratchBytes(spec),
        reads: [...buffersOf(operands), products],
        writes: [...(part.queries ? [dq] : []), ...(part.keys ? [dk, dv] : [])],
        work: 2 * pairs * factor,
      };
    });
    const rows = batch * heads * queries;
    if (rows === 0) return launches;
    return [
      {
        name: `attention row products ${rows}x${base.valueSize}`,
        code: rowProductCode(base.valueSize),
        arguments: argumentWords(rowProductArguments, {
          ...strides,
          y: addressOf(y),
          dy: addressOf(dy),
          yBatch: stride(y, 4),
          yHead: stride(y, 3),
          yRow: stride(y, 2),
          products: addressOfBuffer(products),
          heads,
          queries,
        }),
        items: rows,
        grain: Math.max(1, Math.ceil(32768 / base.valueSize)),
        scratchBytes: 0,
        reads: [y.buffer, dy.buffer],
        writes: [products],
        work: 2 * rows * base.valueSize,
      },
      ...launches,
    ];
  },
};
