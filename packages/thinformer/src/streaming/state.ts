/** What the streaming form remembers. */

import { cat, fromData, zeros, type Device, type Tensor } from "@x/tensor";
import type { AttentionState } from "@x/tensor/nn";
import type { Level, Tower } from "./tower.js";

/**
 * What is remembered of the tokens so far: the keys and values of the coresets of the past, level by
 * level, and then those of the block that is not complete. Its size depends on the capacity only,
 * and grows with the root of it.
 */
export interface ThinformerState extends AttentionState {
  /** Keys, scaled by the root of the attention's scale: [batch, heads, entries, headDim]. */
  readonly keys: Tensor;
  /** [batch, heads, entries, valueDim] */
  readonly values: Tensor;
  /** How many tokens each entry stands for, [batch, entries]; 0 for padding. */
  readonly weights: Tensor;
  /** The largest magnitude in the values so far, [batch, heads]. */
  readonly largest: Tensor;
  /** How many tokens were seen, padding included; int32 []. */
  readonly length: Tensor;
}

/** The part of a state that changes entry by entry. */
export interface Entries {
  readonly keys: Tensor;
  readonly values: Tensor;
  readonly weights: Tensor;
}

/** New tokens, scaled, with 0 for those that do not take part. */
export interface Tokens {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  /** 1 where a token takes part, [batch, tokens]. */
  readonly takesPart: Tensor;
}

/** The levels that a state of so many tokens needs. */
export function levelsFor(tower: Tower, capacity: number): Level[] {
  return tower.levels(Math.floor((capacity - 1) / tower.options.blockSize));
}

/** Entries of the coresets of a state. */
export function pastSize(levels: readonly Level[]): number {
  return levels.reduce((sum, { size }) => sum + 4 * size, 0);
}

/** The state before the first token. */
export function emptyState(
  tower: Tower,
  [batch, heads, headDim, valueDim]: readonly [number, number, number, number],
  capacity: number,
  device: Device,
): ThinformerState {
  const entries = pastSize(levelsFor(tower, capacity)) + tower.options.blockSize;
  return {
    keys: zeros([batch, heads, entries, headDim], { device }),
    values: zeros([batch, heads, entries, valueDim], { device }),
    weights: zeros([batch, entries], { device }),
    largest: zeros([batch, heads], { device }),
    length: fromData(new Int32Array(1), [], { device }),
  };
}

/** How many levels a state has, from the number of its entries; `null` if none has so many. */
export function levelsOf(tower: Tower, entries: number): Level[] | null {
  for (let blocks = 0; ; blocks = Math.max(1, 4 * blocks)) {
    const levels = tower.levels(blocks);
    const size = pastSize(levels) + tower.options.blockSize;
    if (size === entries) return levels;
    if (size > entries) return null;
  }
}

/** The part of the entries that begins at `start`. */
export function part({ keys, values, weights }: Entries, start: number, count: number): Entries {
  return {
    keys: keys.narrow(2, start, count),
    values: values.narrow(2, start, count),
    weights: weights.narrow(1, start, count),
  };
}

/** The entries with others in their place from `start` on. */
export function replaced(entries: Entries, by: Entries, start: Tensor): Entries {
  return {
    keys: entries.keys.dynamicUpdate(2, by.keys, start),
    values: entries.values.dynamicUpdate(2, by.values, start),
    weights: entries.weights.dynamicUpdate(1, by.weights, start),
  };
}

export function joined(...parts: readonly Entries[]): Entries {
  return {
    keys: cat(parts.map(({ keys }) => keys), 2),
    values: cat(parts.map(({ values }) => values), 2),
    weights: cat(parts.map(({ weights }) => weights), 1),
  };
}
