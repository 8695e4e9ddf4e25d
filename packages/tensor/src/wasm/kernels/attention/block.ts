/** What the forward and the backward kernel of attention share: their problem and its blocks. */

import type { Node } from "../../../graph/node.js";
import type { Operand } from "../../../plan/schedule.js";
import type { Guide } from "./visibility.js";

/** What makes the code of an attention kernel. */
export interface AttentionSpec {
  /** Numbers in a query and in a key. */
  readonly keySize: number;
  /** Numbers in a value. */
  readonly valueSize: number;
  readonly guide: Guide;
  readonly dropout: boolean;
}

/** A text for a spec, part of the identity of codes. */
export function specText({ keySize, valueSize, guide, dropout }: AttentionSpec): string {
  return `${keySize}x${valueSize} ${guide}${dropout ? " dropout" : ""}`;
}

/** Queries, and keys, of a block: smaller for large heads, so that a block's matrices stay in cache. */
export function blockSize({ keySize, valueSize }: AttentionSpec): number {
  return Math.max(keySize, valueSize) > 128 ? 32 : 64;
}

/** Whether there are numbers in queries and values, and heads: code is made for sizes above 0. */
export function hasNumbers({ inputs: [q, k, v] }: Node): boolean {
  return q!.shape[3]! > 0 && v!.shape[3]! > 0 && k!.shape[1]! > 0;
}

/** Whether the numbers of a row are neighbours, as kernels of attention want them; scalars are fine. */
export function hasDenseRows({ shape, strides }: Operand): boolean {
  const last = shape.length - 1;
  return last < 0 || shape[last] === 1 || strides[last] === 1;
}
