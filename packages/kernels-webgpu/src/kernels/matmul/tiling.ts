/** How the work of a large product is shared out. */

import type { LoweringContext } from "../../native.js";
import type { Problem } from "./problem.js";

/** A tile of the result that a workgroup computes, and the block of it that an invocation does. */
export interface Tiling {
  /** Tells tilings apart. */
  readonly name: string;
  /** Rows and columns of a tile. */
  readonly rows: number;
  readonly columns: number;
  /** Rows and columns of a block: 4 or 8. */
  readonly blockRows: number;
  readonly blockColumns: number;
  /** Steps along the summed axis that are in workgroup memory at once. */
  readonly depth: number;
  /** Workgroups that share the summed axis; their sums are joined by a second launch. */
  readonly parts: number;
}

/**
 * Tiles by the bytes that they read from memory for a multiply-add (2/rows + 2/columns floats): the
 * larger the tile, the fewer. Blocks of 8 × 8 read 1/4 float of workgroup memory for it, 8 × 4 read
 * 3/8, and 4 × 4 read 1/2; their sums take 64, 32 and 16 registers.
 *
 * `speed` is about how near a tile comes to the device's peak where there are enough of them.
 */
const tiles = [
  { rows: 128, columns: 128, blockRows: 8, blockColumns: 8, speed: 1 },
  { rows: 128, columns: 64, blockRows: 8, blockColumns: 4, speed: 0.85 },
  { rows: 64, columns: 128, blockRows: 8, blockColumns: 4, speed: 0.85 },
  { rows: 64, columns: 64, blockRows: 8, blockColumns: 4, speed: 0.8 },
  { rows: 64, columns: 64, blockRows: 4, blockColumns: 4, speed: 0.7 },
  { rows: 64, columns: 32, blockRows: 4, blockColumns: 4, speed: 0.6 },
  { rows: 32, columns: 64, blockRows: 4, blockColumns: 4, speed: 0.6 },
  { rows: 32, columns: 32, blockRows: 4, blockColumns: 4, speed: 0.5 },
];

/** Invocations that keep a device busy. */
const enoughInvocations = 32768;
/** Fewest elements of the summed axis that are worth a part of their own. */
const shortestPart = 512;
/** Steps in workgroup memory: 64 bytes of a row, and one square of 4 × 4 for an invocation. */
const usualDepth = 16;
/** What is expected to take this many times as long as the best is not worth a trial. */
const hopeless = 4;

/** Bytes of workgroup memory of one tile of each factor. */
export function tileBytes({ rows, columns, depth }: Tiling): number {
  return (rows + columns) * depth * 4;
}

/** Invocations of a workgroup. */
export function invocationsOf({ rows, columns, blockRows, blockColumns }: Tiling): number {
  return (rows / blockRows) * (columns / blockColumns);
}

/** Tilings that fit the device, the one that should be fastest first. */
export function tilingsFor(
  { m, n, k, batch }: Pick<Problem, "m" | "n" | "k" | "batch">,
  { workgroupBytes, workgroupSize }: Pick<LoweringContext, "workgroupBytes" | "workgroupSize">,
): [Tiling, ...Tiling[]] {
  const depth = Math.min(usualDepth, 4 * Math.ceil(k / 4));
  const ranked = tiles.flatMap(({ speed, ...tile }) => {
    const { rows, columns, blockRows, blockColumns } = tile;
    const groups = Math.ceil(m / rows) * Math.ceil(n / columns) * batch;
    const whole: Tiling = { ...tile, name: "", depth, parts: 1 };
    const invocations = invocationsOf(whole);
    const wanted = Math.floor(enoughInvocations / (groups * invocations));
    const parts = Math.max(1, Math.min(wanted, Math.floor(k / shortestPart)));
    const name = `${rows}x${columns} in ${blockRows}x${blockColumns}${parts > 1 ? `, ${parts} parts` : ""}`;
    const tiling: Tiling = { ...whole, name, parts };
    if (tileBytes(tiling) > workgroupBytes || invocations > workgroupSize) return [];
    const useful = (m * n * batch * parts) / (blockRows * blockColumns);
    const busy = Math.min(1, useful / enoughInvocations);
    const joining = parts > 1 ? 1.1 : 1;
    return [{ tiling, time: (groups * rows * columns * joining) / (speed * busy) }];
  });
  ranked.sort((a, b) => a.time - b.time);
  // Every device has room for the smallest.
  const worthTrying = ranked.filter(({ time }) => time <= hopeless * ranked[0]!.time);
  return worthTrying.map(({ tiling }) => tiling) as [Tiling, ...Tiling[]];
}
