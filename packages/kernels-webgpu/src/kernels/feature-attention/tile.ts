/** How feature attention is cut into work for workgroups. */

import type { LoweringContext } from "../../native.js";
import type { Tile } from "../linear-attention/tile.js";

/** Workgroup memory that every device has; what fits there can be done everywhere. */
const leastBytes = 16384;
/** A subgroup is not smaller on most devices: fewer invocations leave some idle. */
const subgroup = 32;

const chunks = [8, 16, 32] as const;
const slices = [4, 8, 16, 32, 64, 128] as const;

/** What one scan works on. */
export interface ScanSizes {
  /** Keys, or queries. */
  readonly length: number;
  /** Numbers in a key. */
  readonly keySize: number;
  /** Numbers in a value. */
  readonly valueSize: number;
  /** d: numbers that a feature is made of. */
  readonly inputSize: number;
}

/** The state and its sums; keys; rows or scores; values; partial sums, and weights of columns. */
function bytesOf({ chunk, slice }: Tile, keySize: number): number {
  const [high, wide] = [chunk / 4, slice / 4];
  const height = 4 * Math.ceil(keySize / 4);
  const vectors =
    height * (wide + high) + 4 * high * (high + wide) + high * Math.min(high, wide) + 4 * high;
  return 16 * (vectors + wide) + 4 * height + 32;
}

/** Arithmetic for a token, in relation to that of other tiles. */
function costOf({ chunk, slice }: Tile, { keySize, valueSize, inputSize }: ScanSizes): number {
  const idle = Math.max(1, subgroup / ((chunk / 4) * (slice / 4)));
  const features = 2 * keySize * inputSize;
  const products = (keySize + slice) * chunk + 2 * keySize * slice;
  return Math.ceil(valueSize / slice) * (features + products) * idle;
}

/** The next power of two. */
function ceilPower(n: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(n, 1)));
}

/** The tiles that fit a scan, the best first; with `chunk` those of that chunk. */
export function tilesFor(
  sizes: ScanSizes,
  { workgroupBytes, workgroupSize }: Pick<LoweringContext, "workgroupBytes" | "workgroupSize">,
  chunk: number | null = null,
): readonly Tile[] {
  const all = chunks.flatMap((length) => slices.map((slice) => ({ chunk: length, slice })));
  return all
    .filter((tile) => {
      const isLong = chunk === null && tile.chunk > Math.max(16, ceilPower(sizes.length));
      const isWide = tile.slice > Math.max(4, ceilPower(sizes.valueSize));
      return (
        !isLong &&
        !isWide &&
        (chunk === null || tile.chunk === chunk) &&
        (tile.chunk * tile.slice) / 16 <= workgroupSize &&
        bytesOf(tile, sizes.keySize) <= workgroupBytes
      );
    })
    .map((tile) => ({ tile, cost: costOf(tile, sizes) }))
    .sort((a, b) => a.cost - b.cost)
    .map(({ tile }) => tile);
}

/** Whether some tile fits on every device. */
export function hasTile(keySize: number): boolean {
  return bytesOf({ chunk: chunks[0], slice: slices[0] }, keySize) <= leastBytes;
}
