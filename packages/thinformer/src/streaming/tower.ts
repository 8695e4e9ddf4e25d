/**
 * The past of a sequence as coresets: which there are, and how large.
 *
 * The sequence is cut into blocks of B = 4^b tokens. Of a complete block KH-Compress keeps 2^g √B keys:
 * a coreset of level 0. Four of a level that follow each other make one of the next, by one more round
 * of halving: twice as large, for four times as many tokens. So a coreset of level l is what KH-Compress
 * makes of its 4^l blocks, and of the past there are, at every level, the up to three coresets of
 * which the next has not been made yet: the digits of the number of complete blocks, to base four.
 */

import { arange, fromData, type Tensor } from "@x/tensor";
import { uniformAt } from "@x/tensor/random";

/** What shapes the tower of coresets. */
export interface TowerOptions {
  readonly g: number;
  /** The probability with which halving may fail. */
  readonly delta: number;
  /** Tokens of a block, a power of four, at least 4^(g + 1). */
  readonly blockSize: number;
  /** Which random numbers. */
  readonly seed: number;
}

/** The coresets of one level. */
export interface Level {
  /** Its number. */
  readonly level: number;
  /** Keys of a coreset. */
  readonly size: number;
  /** Blocks that a coreset stands for. */
  readonly blocks: number;
  /** The round of KH-Compress that makes it. */
  readonly round: number;
  /** Where its places begin in a state: four for each level, of which the last is for what arrives. */
  readonly first: number;
}

/** The sizes of all coresets, and the random numbers that choose them. */
export class Tower {
  readonly options: TowerOptions;
  /** Entries of a bucket in the first round. */
  readonly bucket: number;
  /** Rounds in a block. */
  readonly blockRounds: number;

  constructor(options: TowerOptions) {
    const { g, blockSize } = options;
    this.options = options;
    this.bucket = 4 ** (g + 1);
    this.blockRounds = Math.round(Math.log2(blockSize) / 2) - g;
  }

  /** The levels that a past of so many complete blocks has coresets of. */
  levels(blocks: number): Level[] {
    const { blockSize } = this.options;
    const list: Level[] = [];
    let first = 0;
    for (let level = 0; 4 ** level <= blocks; level++) {
      const size = (blockSize / 2 ** this.blockRounds) * 2 ** level;
      const round = this.blockRounds - 1 + level;
      list.push({ level, size, blocks: 4 ** level, round, first });
      first += 4 * size;
    }
    return list;
  }

  /**
   * Random numbers in [0, 1) of a round for pairs from number `first` on, counted from the start of the
   * sequence: [batch, heads, count]. They depend on nothing else, so they are the same however a
   * sequence comes.
   */
  uniforms(
    [batch, heads]: readonly [number, number],
    round: number,
    first: Tensor | number,
    count: number,
  ): Tensor {
    const row = arange(batch * heads, { dtype: "int32" }).reshape([batch, heads, 1]);
    const places = arange(count, { dtype: "int32" }).add(first);
    return uniformAt(places, { seed: this.options.seed, stream: row.mul(64).add(round) });
  }

  /** The same as draws of kernel halving, as if KH-Compress ran on the tokens of a bucket alone. */
  draws(
    heads: readonly [number, number],
    round: number,
    first: Tensor | number,
    count: number,
  ): Tensor {
    const failures = (2 * this.bucket * (round + 1) * 2 ** round) / this.options.delta;
    const uniforms = this.uniforms(heads, round, first, count);
    return uniforms.sub(0.5).mul(1 + 2 * Math.log(failures));
  }
}

/** Where the coresets that a block sees lie among those of all levels. */
export interface PastTable {
  /** Entries of each block. */
  readonly width: number;
  /** Places among the entries of all levels, [blocks · width]; 0 where there is none. */
  readonly places: Tensor;
  /** Tokens that an entry stands for, [blocks, width]; 0 where there is none. */
  readonly masses: Float32Array;
}

/** The table of all of `blocks` blocks; entries of levels lie one level after the other. */
export function pastTable(tower: Tower, levels: readonly Level[], blocks: number): PastTable {
  const width = levels.reduce((sum, { size }) => sum + 3 * size, 0);
  const places = new Int32Array(blocks * width);
  const masses = new Float32Array(blocks * width);
  for (let block = 0; block < blocks; block++) {
    let [to, start] = [block * width, 0];
    for (const { size, blocks: span, round } of levels) {
      const complete = Math.floor(block / span);
      const count = (complete % 4) * size;
      const first = start + (complete - (complete % 4)) * size;
      for (let i = 0; i < count; i++) places[to + i] = first + i;
      masses.fill(2 ** (round + 1), to, to + count);
      to += 3 * size;
      start += Math.floor((blocks - 1) / span) * size;
    }
  }
  return { width, places: fromData(places, [places.length]), masses };
}
