/**
 * The past of a sequence as coresets: which there are, and how large.
 *
 * The sequence is cut into blocks of B = 4^b tokens. Of a complete block KH-Compress keeps 2^g √B keys:
 * a coreset of level 0. Four of a level that follow each other make one of the next, by one more round
 * of halving: twice as large, for four times as many tokens. So a coreset of level l is what KH-Compress
 * makes of its 4^l blocks, and of the past there are, at every level, the up to three coresets of
 * which the next has not been made yet: the digits of the number of complete blocks, to base four.
 */

import { arange, type Tensor } from "@x/tensor";
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
  /** Whether steps that complete no block have a plan of their own. */
  readonly twoPlans: boolean;
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
   * sequence: [batch, heads, count]. They depend on the head besides, and on nothing else, so they are
   * the same however a sequence comes, and whichever sequences are in its batch.
   */
  uniforms(
    [batch, heads]: readonly [number, number],
    round: number,
    first: Tensor | number,
    count: number,
  ): Tensor {
    const head = arange(heads, { dtype: "int32" }).unsqueeze(1);
    const places = arange(count, { dtype: "int32" }).add(first);
    const uniforms = uniformAt(places, {
      seed: this.options.seed,
      stream: head.mul(64).add(round),
    });
    return uniforms.expand([batch, heads, count]);
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

/** Entries of the coresets of every level, where `blocks` are complete: one list after the other. */
export function listSizes(levels: readonly Level[], blocks: number): number[] {
  return levels.map(({ size, blocks: span }) => Math.floor(blocks / span) * size);
}

/** Entries of coresets: where they lie among those of all levels, and what they stand for. */
export interface Places {
  /** Places in the lists of all levels; 0 where there is none. */
  readonly places: Int32Array;
  /** Tokens that an entry stands for; 0 where there is none. */
  readonly masses: Float32Array;
}

/**
 * The coresets that a block sees, with room for so many of every level, in the lists of all levels,
 * which are those of `blocks` complete blocks.
 */
export function placesOf(
  levels: readonly Level[],
  block: number,
  slots: number,
  blocks: number,
): Places {
  const width = levels.reduce((sum, { size }) => sum + slots * size, 0);
  const [places, masses] = [new Int32Array(width), new Float32Array(width)];
  const sizes = listSizes(levels, blocks);
  let [to, start] = [0, 0];
  levels.forEach(({ size, blocks: span, round }, i) => {
    const complete = Math.floor(block / span);
    const count = (complete % 4) * size;
    const first = start + (complete - (complete % 4)) * size;
    for (let j = 0; j < count; j++) places[to + j] = first + j;
    masses.fill(2 ** (round + 1), to, to + count);
    to += slots * size;
    start += sizes[i]!;
  });
  return { places, masses };
}
