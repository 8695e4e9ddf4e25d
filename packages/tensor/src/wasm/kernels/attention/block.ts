/** What the forward and the backward kernel of attention share: their problem and its blocks. */

import type { FunctionBuilder, I32, Local } from "../../assembler/index.js";
import { roundUp } from "./pack.js";
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

/** The offsets of parts in scratch memory, from their sizes in bytes, and the whole. */
export interface Layout<Part extends string> {
  readonly offsets: Readonly<Record<Part, number>>;
  readonly bytes: number;
}

/** Puts parts one behind the other. */
export function layOut<Part extends string>(parts: Readonly<Record<Part, number>>): Layout<Part> {
  let bytes = 0;
  const entries = Object.entries<number>(parts).map(([part, size]) => {
    const offset = bytes;
    bytes = roundUp(bytes + size, 64);
    return [part, offset] as const;
  });
  return { offsets: Object.fromEntries(entries) as Record<Part, number>, bytes };
}

/** The addresses of the parts. */
export function addressesOf<Part extends string>(
  f: FunctionBuilder,
  scratch: I32,
  { offsets }: Layout<Part>,
): Readonly<Record<Part, Local<I32>>> {
  const entries = Object.entries<number>(offsets).map(
    ([part, offset]) => [part, f.let<I32>(scratch.add(offset))] as const,
  );
  return Object.fromEntries(entries) as Record<Part, Local<I32>>;
}
