/** What a scan is given: the choices that make its code, its arguments, its scratch memory. */

import type { LinearAttentionMode } from "../../../ops/linear-attention.js";
import { roundUp } from "../attention/pack.js";
import { panelRowBytes, tileRows } from "../attention/register-tile.js";
import { type ChunkSizes, outputRowBytes } from "./products.js";

/** What makes the code of a scan. */
export interface ScanSpec extends ChunkSizes {
  readonly direction: "forward" | "reverse";
  readonly mode: LinearAttentionMode;
  /** How the first state is stored: by rows, transposed, or not at all (zeros). */
  readonly state: "rows" | "columns" | null;
  /** Whether the last state is an output. */
  readonly finalState: boolean;
  /** Whether several query heads share a key head. */
  readonly grouped: boolean;
  /** What is multiplied by the scale. */
  readonly scaled: "rows" | "keys" | "values";
}

/** The argument words of a scan. Strides are in bytes; `starts`, `order`, `counts`: see `order.ts`. */
export const scanArguments = [
  "rows",
  "keys",
  "values",
  "output",
  "state",
  "finalState",
  "order",
  "counts",
  "starts",
  "rowBatch",
  "rowHead",
  "rowStride",
  "keyBatch",
  "keyHead",
  "keyStride",
  "valueBatch",
  "valueHead",
  "valueStride",
  "stateBatch",
  "stateHead",
  "stateStride",
  "stateBlock",
  // Rows and columns of the whole sequence; numbers in a whole value; blocks a value is cut into.
  "keyHeads",
  "group",
  "rowCount",
  "columnCount",
  "outputSize",
  "blocks",
  "scale",
] as const;

/** Byte offsets of a scan's matrices in scratch memory. */
export function scratchLayout(sizes: ChunkSizes): Record<ScratchPart | "bytes", number> {
  const { keySize, capacity } = sizes;
  const rows = roundUp(capacity, tileRows);
  const bytes: Record<ScratchPart, number> = {
    columns: capacity * keySize * 4,
    values: capacity * outputRowBytes(sizes),
    rows: rows * keySize * 4,
    scores: rows * capacity * 4,
    // Transposing writes whole blocks of eight rows.
    state: keySize * outputRowBytes(sizes) + 8 * panelRowBytes,
    output: rows * outputRowBytes(sizes),
    zeros: keySize * 4,
    list: rows * 4,
  };
  let end = 0;
  const offsets: Partial<Record<ScratchPart | "bytes", number>> = {};
  for (const part of Object.keys(bytes) as ScratchPart[]) {
    offsets[part] = end;
    end = roundUp(end + bytes[part], 64);
  }
  return { ...(offsets as Record<ScratchPart, number>), bytes: end };
}

/** A matrix in scratch memory. */
export type ScratchPart =
  "columns" | "values" | "rows" | "scores" | "state" | "output" | "zeros" | "list";

/** Scratch memory a scan needs. */
export function scanScratchBytes(sizes: ChunkSizes): number {
  return scratchLayout(sizes).bytes;
}

/** The spec of the scan that runs beside a reverse scan; see `scan-pair.ts`. */
export function twinOf(spec: ScanSpec): ScanSpec {
  const { keySize, valueSize } = spec;
  return {
    ...spec,
    keySize: valueSize,
    valueSize: keySize,
    state: null,
    finalState: false,
    scaled: "values",
  };
}
