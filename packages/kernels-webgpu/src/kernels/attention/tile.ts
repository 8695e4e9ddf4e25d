/**
 * Tiles of attention: a workgroup has some rows of its own (queries, or keys) and goes over the
 * others (keys, or queries) in blocks, the columns. Each invocation has 4 rows and 4 columns.
 *
 * All sizes of blocks are decided here.
 */

import type { Candidate, LoweringContext } from "../../native.js";

/** Rows of a workgroup, and columns of a block. */
type TileSize = readonly [rows: number, columns: number];

/** What a tile is chosen for. */
interface TileProblem {
  /** Number of rows. */
  readonly rows: number;
  /** Number of columns. */
  readonly columns: number;
  /** Lengths of the products that give scores. */
  readonly depths: readonly number[];
  /** Sizes of the sums that a row keeps. */
  readonly results: readonly number[];
}

/** Numbers of a row that are in workgroup memory at once, while scores are computed: 4 vectors. */
const depthVectors = 4;

const sizes: readonly TileSize[] = [
  [64, 64],
  [32, 128],
  [32, 64],
  [32, 32],
  [16, 64],
  [8, 128],
  [4, 256],
  [4, 128],
];

/** Vectors of sums that an invocation holds without running short of registers. */
const mostSums = 16;

/** How the sums of a row are shared out over the invocations along it. */
export interface ResultLayout {
  /** Invocations that share the vectors of a row. */
  readonly lanes: number;
  /** Vectors of a row that each of them has. */
  readonly each: number;
  /** Parts of the columns that are summed by different invocations. */
  readonly slices: number;
  /** Rows of the right factor that are in workgroup memory at once. */
  readonly chunk: number;
}

/** A tile and what follows from it. */
export class Tile implements Candidate {
  /** For the tuner. */
  readonly name: string;
  /** Rows of a workgroup. */
  readonly rows: number;
  /** Columns of a block. */
  readonly columns: number;
  /** Invocations along the columns. */
  readonly across: number;
  /** Invocations of a workgroup. */
  readonly invocations: number;
  /** Vectors of workgroup memory for factors of products. */
  readonly stage: number;
  /** How the sums are shared out. */
  readonly results: readonly ResultLayout[];
  /** Bytes of workgroup memory. */
  readonly bytes: number;

  constructor([rows, columns]: TileSize, { depths, results }: TileProblem) {
    this.name = `${rows}x${columns}`;
    this.rows = rows;
    this.columns = columns;
    this.across = columns / 4;
    this.invocations = (rows / 4) * this.across;
    const deepest = Math.max(...depths.map((size) => chunkOf(size)));
    const forScores = deepest * rows + strideOf(deepest) * columns;
    this.results = results.map((size) => this.#share(size, forScores));
    const forResults = this.results.map(({ lanes, each, chunk }) => lanes * each * chunk);
    this.stage = Math.max(forScores, ...forResults);
    // The weights of a block, a vector of each invocation, and a flag.
    this.bytes = 16 * (this.stage + rows * this.across + this.invocations) + 4;
  }

  #share(size: number, most: number): ResultLayout {
    const vectors = Math.ceil(size / 4);
    const lanes = Math.min(this.across, 2 ** Math.ceil(Math.log2(vectors)));
    const each = Math.ceil(vectors / lanes);
    let chunk = this.columns;
    while (chunk > 4 && chunk * lanes * each > most) chunk /= 2;
    return { lanes, each, slices: this.across / lanes, chunk };
  }

  /**
   * What the whole problem costs, in multiply-adds with something for the traffic of workgroup memory:
   * all of a tile is computed, and large tiles use what they read more often.
   */
  cost({ rows, columns }: TileProblem): number {
    const sums = this.results.reduce((sum, { each }) => sum + 4 * each, 0);
    const area =
      Math.ceil(rows / this.rows) * this.rows * Math.ceil(columns / this.columns) * this.columns;
    const crowding = Math.max(1, sums / mostSums);
    return area * (1 + 16 / this.rows + 16 / this.columns) * crowding;
  }
}

/** Vectors of a row in workgroup memory at once: all of them in as few chunks as can be. */
export function chunkOf(size: number): number {
  const vectors = Math.ceil(size / 4);
  return Math.ceil(vectors / Math.ceil(vectors / depthVectors));
}

/** Vectors from column to column: an odd number spreads them over the banks of workgroup memory. */
export function strideOf(depth: number): number {
  return depth | 1;
}

/** The tiles that a device can use for a problem, at least one, the most promising first. */
export function tilesFor(
  problem: TileProblem,
  { workgroupBytes, workgroupSize }: Pick<LoweringContext, "workgroupBytes" | "workgroupSize">,
): [Tile, ...Tile[]] {
  const fitting = sizes
    .map((size) => new Tile(size, problem))
    .filter(({ bytes, invocations }) => bytes <= workgroupBytes && invocations <= workgroupSize)
    .sort((a, b) => a.cost(problem) - b.cost(problem))
    .slice(0, 4);
  // The smallest has room on every device.
  return fitting as [Tile, ...Tile[]];
}

/** The tile for a problem of so many heads; `kernel` says what else the best one depends on. */
export function tileFor(
  kernel: string,
  heads: number,
  problem: TileProblem,
  context: LoweringContext,
): Tile {
  const { rows, columns, depths, results } = problem;
  const key = `${kernel} ${heads}x${rows}x${columns} ${depths.join("+")} ${results.join("+")}`;
  return context.choose(key, tilesFor(problem, context));
}

/** Workgroups that fill a device. */
const manyWorkgroups = 512;
/** Fewest keys that are worth a workgroup of their own. */
const shortestPart = 128;
/** Most parts: each invocation that joins them goes over all. */
const mostParts = 64;

/**
 * How many keys a workgroup goes over, where so many workgroups could have all: fewer where these
 * would not fill the device.
 */
export function partLength(keys: number, workgroups: number, { columns }: Tile): number {
  const wanted = Math.ceil(manyWorkgroups / workgroups);
  const parts = Math.min(wanted, Math.floor(keys / shortestPart), mostParts);
  const length = Math.ceil(keys / Math.max(parts, 1));
  return parts > 1 ? Math.ceil(length / columns) * columns : Math.max(keys, 1);
}
