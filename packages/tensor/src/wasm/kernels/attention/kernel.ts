/** The native kernels of scaled dot-product attention, forward and backward. */

import type { Attributes, Node } from "../../../graph/node.js";
import { dropThreshold } from "../../../ops/random.js";
import type { NativeStep, Operand } from "../../../plan/schedule.js";
import { sizeOf } from "../../../tensor/shape.js";
import type { Launch } from "../../launch.js";
import type { NativeKernel } from "../../native.js";
import {
  addressOf,
  addressOfBuffer,
  addressOrNone,
  floatArgument,
  launchOf,
  viewWords,
  type Word,
} from "../arguments.js";
import { backwardCode, backwardLayout, type BackwardSpec, rowProductCode } from "./backward.js";
import { type AttentionSpec, blockSize, hasDenseRows, hasNumbers } from "./block.js";
import { forwardBlock, forwardCode, forwardLayout, type ForwardSpec } from "./forward.js";
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

/** How many keys before and after its own place a query sees. */
function windowOf({ causal, window }: Attributes): [left: number, right: number] {
  const [left, right] = (window ?? [-1, -1]) as readonly [number, number];
  const limit = (n: number): number => (n < 0 || n > noLimit ? noLimit : n);
  return [limit(left), causal === true ? 0 : limit(right)];
}

/** The words of the problem that all attention kernels begin with; see `drawBytes` for the first. */
function problemWords({ q, k, v, guide, draw }: Operands, attributes: Attributes): Word[] {
  const [, heads, queries] = q.shape as [number, number, number];
  const [, keyHeads, keys] = k.shape as [number, number, number];
  const p = attributes.dropout as number;
  return [
    ...[0, 1, 2].map((i) => (draw[i] ? addressOf(draw[i]) : 0)),
    ...[dropThreshold(p), floatArgument(p === 1 ? 0 : 1 / (1 - p))],
    ...[keys, queries, heads, heads / keyHeads, ...windowOf(attributes)],
    floatArgument(attributes.scale as number),
    ...[q, k, v, guide].flatMap((operand) => viewWords(operand, 4)),
  ];
}

/** At most so many pairs of a query and a key that it sees. */
function visiblePairs({ q, k }: Operands, attributes: Attributes): number {
  const [batch, heads, queries] = q.shape as [number, number, number];
  const [left, right] = windowOf(attributes);
  return batch * heads * queries * Math.min(k.shape[2]!, left + right + 1);
}

/** Masks and biases may be any view; the numbers of other tensors' rows must be neighbours. */
function acceptsView({ attributes }: Node, input: number, view: Operand): boolean {
  const hasGuide = attributes.hasMask === true || attributes.hasBias === true;
  return (hasGuide && input === 3) || hasDenseRows(view);
}

/** Up to so many queries are taken one by one: packing keys pays off when several queries use them. */
const directQueries = 3;

/** `scaledDotProductAttention`; see `forward.ts`. */
export const scaledDotProductAttentionKernel: NativeKernel = {
  op: "scaledDotProductAttention",
  supports: hasNumbers,
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
    const blocks = Math.ceil(queries / forwardBlock(spec)[0]);
    const items = batch * heads * blocks;
    if (items === 0) return [];
    const rows = batch * heads * queries;
    const y = step.outputs[0] ?? context.workspace(rows * spec.valueSize * 4);
    const lse = step.outputs[1] ?? context.workspace(rows * 4);
    const { keySize, valueSize } = spec;
    return [
      launchOf(
        `attention ${sizesText(operands)}`,
        forwardCode(spec),
        [...problemWords(operands, attributes), addressOfBuffer(y), addressOfBuffer(lse), blocks],
        items,
        2 * visiblePairs(operands, attributes) * (keySize + valueSize),
        1,
        forwardLayout(spec).bytes,
      ),
    ];
  },
};

function sizesText({ q, k, v }: Operands): string {
  const [batch, heads, queries, keySize] = q.shape as [number, number, number, number];
  return `${batch * heads}x${queries}x${k.shape[2]!}x${keySize}x${v.shape[3]!}`;
}

/** Which parts of the backward pass one launch does, and into how many items a head is cut. */
type BackwardPart = readonly [
  queries: boolean,
  keys: boolean,
  keyItems: number,
  queryItems: number,
];

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
  if (whole <= parts) return [[true, true, 1, 1]];
  return [
    [false, true, keyBlocks, 1],
    [true, false, 1, queryBlocks],
  ];
}

/** `scaledDotProductAttentionBackward`; see `backward.ts`. */
export const scaledDotProductAttentionBackwardKernel: NativeKernel = {
  op: "scaledDotProductAttentionBackward",
  supports: hasNumbers,
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
    const blocksOf = (length: number): number => Math.max(1, Math.ceil(length / blockSize(base)));
    const parts = backwardParts(
      batch * keyHeads,
      blocksOf(keys),
      blocksOf(queries),
      context.threads,
    );
    const { keySize, valueSize } = base;
    const launches = parts.map(([hasQueries, hasKeys, keyItems, queryItems]): Launch => {
      const spec: BackwardSpec = { ...base, queries: hasQueries, keys: hasKeys };
      const factor = (hasQueries ? keySize : 0) + (hasKeys ? 2 : 1) * (keySize + valueSize);
      return launchOf(
        `attention backward ${sizesText(operands)}`,
        backwardCode(spec),
        [
          ...problemWords(operands, attributes),
          ...[...viewWords(dy, 4), ...viewWords(lse, 3)],
          ...[products, hasQueries ? dq : null, ...(hasKeys ? [dk, dv] : [null, null])].map(
            addressOrNone,
          ),
          ...[keyItems, queryItems],
        ],
        batch * keyHeads * keyItems * queryItems,
        2 * visiblePairs(operands, attributes) * factor,
        1,
        backwardLayout(spec).bytes,
      );
    });
    const rows = batch * heads * queries;
    if (rows === 0) return launches;
    return [
      launchOf(
        `attention row products ${rows}x${valueSize}`,
        rowProductCode(valueSize),
        [...viewWords(y, 4), ...viewWords(dy, 4), addressOfBuffer(products), heads, queries],
        rows,
        2 * rows * valueSize,
        32768 / valueSize,
      ),
      ...launches,
    ];
  },
};
