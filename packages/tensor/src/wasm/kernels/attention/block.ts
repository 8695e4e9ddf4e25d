/** What the forward and the backward kernel of attention share: their problem and its blocks. */

import type { FunctionBuilder, I32, Local } from "../../assembler/index.js";
import { roundUp } from "./pack.js";
import { panelColumns } from "./register-tile.js";
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

/** Queries, and keys, of a block: smaller for large heads, so that a block's matrices stay in cache. */
export function blockSize({
  keySize,
  valueSize,
}: Pick<AttentionSpec, "keySize" | "valueSize">): number {
  return Math.max(keySize, valueSize) > 128 ? 32 : 64;
}

/** Bytes of a row of `size` numbers that is filled up to whole panels. */
export function paddedRowBytes(size: number): number {
  return roundUp(size, panelColumns) * 4;
}

/** The argument words that all attention kernels have. Strides are in bytes. */
export const commonArguments = [
  "q",
  "k",
  "v",
  "guide",
  "key0",
  "key1",
  "counter",
  "qBatch",
  "qHead",
  "qRow",
  "kBatch",
  "kHead",
  "kRow",
  "vBatch",
  "vHead",
  "vRow",
  "guideBatch",
  "guideHead",
  "guideRow",
  "guideColumn",
  "batch",
  "heads",
  "group",
  "queries",
  "keys",
  // How many keys before and after its own place a query sees; see `noLimit`.
  "left",
  "right",
  "scale",
  // Words below the threshold drop a weight; the others are scaled.
  "threshold",
  "dropoutScale",
] as const;

/** Adds the sizes of named parts up to their offsets in scratch memory, and the whole. */
export function layOutScratch<Part extends string>(
  bytes: Readonly<Record<Part, number>>,
): { readonly offsets: Readonly<Record<Part, number>>; readonly bytes: number } {
  let end = 0;
  const entries = Object.entries<number>(bytes).map(([part, size]) => {
    const offset = end;
    end = roundUp(end + size, 64);
    return [part, offset] as const;
  });
  return { offsets: Object.fromEntries(entries) as Record<Part, number>, bytes: end };
}

/** The addresses of the parts. */
export function scratchAddresses<Part extends string>(
  f: FunctionBuilder,
  scratch: I32,
  offsets: Readonly<Record<Part, number>>,
): Readonly<Record<Part, Local<I32>>> {
  const entries = Object.entries<number>(offsets).map(
    ([part, offset]) => [part, f.let<I32>(scratch.add(offset))] as const,
  );
  return Object.fromEntries(entries) as Record<Part, Local<I32>>;
}

/** A number limited below by 0, rounded down to a multiple of `step` (a power of two), kept. */
export function firstBlock(f: FunctionBuilder, value: I32, step: number): Local<I32> {
  const local = f.let(value);
  f.set<I32>(local, local.maximum(0).and(-step));
  return local;
}

/** The smaller of two numbers, kept. */
export function smaller(f: FunctionBuilder, a: I32, b: I32): Local<I32> {
  const local = f.let(a);
  const other = f.keep(b);
  f.set<I32>(local, local.minimum(other));
  return local;
}
