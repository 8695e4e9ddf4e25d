/** What attention kernels are asked: operands by name, lengths, and which keys a query sees. */

import type { NativeStep, Node, Operand } from "@x/tensor/device";

/** A step of attention, forward or backward. */
export interface Problem {
  /** Lengths and sizes, for profiles. */
  readonly name: string;
  /** Number of batches. */
  readonly batch: number;
  /** Number of key heads. */
  readonly keyHeads: number;
  /** Query heads of a key head. */
  readonly group: number;
  /** Queries of a query head. */
  readonly queries: number;
  /** Keys of a key head. */
  readonly keys: number;
  /** Numbers in a query and in a key. */
  readonly keySize: number;
  /** Numbers in a value. */
  readonly valueSize: number;
  /** Keys before its own place that a query sees; `null`: all. */
  readonly left: number | null;
  /** Keys behind its own place that a query sees; `null`: all. */
  readonly right: number | null;
  /** What products of queries and keys are multiplied by. */
  readonly scale: number;
  /** Probability with which a weight is dropped. */
  readonly dropout: number;
  /** Queries, [b, h, n, d]. */
  readonly q: Operand;
  /** Keys, [b, hk, m, d]. */
  readonly k: Operand;
  /** Values, [b, hk, m, e]. */
  readonly v: Operand;
  /** A mask (bool) or a bias, broadcastable to [b, h, n, m]. */
  readonly guide: Operand | null;
  /** What comes between the guide and the draw. */
  readonly rest: readonly Operand[];
  /** Two keys and the counter of the generator, where weights are dropped. */
  readonly draw: readonly Operand[];
}

/** Most numbers in a query, and in a value: the sums of a row are held in registers. */
const largestSize = 256;

/** A longer window limits nothing; sums of positions and it are far from overflow. */
const longestWindow = 2 ** 29;

/** Reads a step. */
export function problemOf({ inputs, node }: NativeStep): Problem {
  const { hasMask, hasBias, causal, window, scale, dropout } = node.attributes;
  const [q, k, v, ...rest] = inputs as [Operand, Operand, Operand, ...Operand[]];
  const guide = hasMask === true || hasBias === true ? rest.shift()! : null;
  const draw = (dropout as number) > 0 ? rest.splice(-3) : [];
  const [batch, heads, queries, keySize] = q.shape as [number, number, number, number];
  const [, keyHeads, keys, valueSize] = v.shape as [number, number, number, number];
  const [left, right] = ((window ?? [-1, -1]) as readonly [number, number]).map((length) =>
    length < 0 || length > longestWindow ? null : length,
  ) as [number | null, number | null];
  return {
    name: `${batch * heads}x${queries}x${keys}x${keySize}x${valueSize}`,
    batch,
    keyHeads,
    group: heads / keyHeads,
    queries,
    keys,
    keySize,
    valueSize,
    left,
    right: causal === true ? 0 : right,
    scale: scale as number,
    dropout: dropout as number,
    q,
    k,
    v,
    guide,
    rest,
    draw,
  };
}

/** Whether heads have a size that kernels are made for. */
export function supports({ inputs: [q, k, v] }: Node): boolean {
  const [keyHeads, keySize, valueSize] = [k!.shape[1]!, q!.shape[3]!, v!.shape[3]!];
  const isFitting = (size: number): boolean => size > 0 && size <= largestSize;
  return keyHeads > 0 && isFitting(keySize) && isFitting(valueSize);
}

/**
 * Masks and biases may be any view, and so may numbers of which a row has one; the others of a row
 * must be neighbours.
 */
export function acceptsView({ attributes }: Node, input: number, view: Operand): boolean {
  const isGuide = input === 3 && (attributes.hasMask === true || attributes.hasBias === true);
  return isGuide || view.shape.length < 4 || view.shape[3] === 1 || view.strides[3] === 1;
}
