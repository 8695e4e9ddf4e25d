/** What the streaming form remembers, and how it takes in what is new. */

import {
  cat,
  fromData,
  kernelHalving,
  scaledDotProductAttention,
  where,
  zeros,
  arange,
  type Device,
  type Tensor,
} from "@x/tensor";
import { withUpdates, type AttentionState } from "@x/tensor/nn";
import { rowsAt } from "../attention/attend.js";
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
interface Entries {
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
function pastSize(levels: readonly Level[]): number {
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
function part({ keys, values, weights }: Entries, start: number, count: number): Entries {
  return {
    keys: keys.narrow(2, start, count),
    values: values.narrow(2, start, count),
    weights: weights.narrow(1, start, count),
  };
}

/** The entries with others in their place from `start` on. */
function replaced(entries: Entries, by: Entries, start: Tensor): Entries {
  return {
    keys: entries.keys.dynamicUpdate(2, by.keys, start),
    values: entries.values.dynamicUpdate(2, by.values, start),
    weights: entries.weights.dynamicUpdate(1, by.weights, start),
  };
}

function joined(...parts: readonly Entries[]): Entries {
  return {
    keys: cat(parts.map(({ keys }) => keys), 2),
    values: cat(parts.map(({ values }) => values), 2),
    weights: cat(parts.map(({ weights }) => weights), 1),
  };
}

/** Halves entries in some rounds, if `isWanted`, an int32 scalar, is 1; costs next to nothing if not. */
function halved(
  tower: Tower,
  entries: Entries,
  { bucket, rounds, firstRound }: { bucket: number; rounds: number; firstRound: number },
  number: Tensor,
  largest: Tensor,
  isWanted: Tensor,
): Entries {
  const { keys, values, weights } = entries;
  const [batch, heads, length] = keys.shape as [number, number, number];
  const draws: Tensor[] = [];
  let buckets = 0;
  for (let round = 0; round < rounds; round++) {
    const pairs = length / 2 ** (round + 1);
    draws.push(tower.draws([batch, heads], firstRound + round, number.mul(pairs), pairs));
    buckets += length / (bucket * 4 ** round);
  }
  const kept = kernelHalving(keys, values, {
    bucket,
    rounds,
    offsets: largest.square().unsqueeze(-1).expand([batch, heads, buckets]),
    draws: draws.length === 1 ? draws[0]! : cat(draws, 2),
    weights: weights.mul(isWanted.cast("float32")),
  });
  const size = length / 2 ** rounds;
  const places = kept.narrow(2, kept.shape[2]! - size, size);
  return {
    keys: rowsAt(keys, places),
    values: rowsAt(values, places),
    weights: weights.reshape([batch, size, 2 ** rounds]).sum(2),
  };
}

/**
 * The coresets after block number `block` is complete, if `isComplete`, an int32 scalar, is 1; else
 * they stay as they are. What arrives at a level goes to the place of its digit, and to the fourth if
 * nothing arrives: what is there is never read, unless it completes the level.
 */
function withBlock(
  tower: Tower,
  levels: readonly Level[],
  past: Entries,
  own: Entries,
  block: Tensor,
  largest: Tensor,
  isComplete: Tensor,
): Entries {
  let entries = past;
  let arrives = isComplete;
  let arriving = own;
  for (const { level, size, blocks, round, first } of levels) {
    const ofBlock = { bucket: tower.bucket, rounds: tower.blockRounds, firstRound: 0 };
    const ofLevel = { bucket: 2 * size, rounds: 1, firstRound: round };
    const how = level === 0 ? ofBlock : ofLevel;
    const number = block.floorDivide(blocks);
    const coreset = halved(tower, arriving, how, number, largest, arrives);
    const place = where(arrives.ne(0), number.remainder(4), 3).mul(size).add(first);
    entries = replaced(entries, coreset, place.cast("int32"));
    arriving = part(entries, first, 4 * size);
    arrives = arrives.mul(number.remainder(4).eq(3).cast("int32"));
  }
  return entries;
}

/** Whether each entry of the coresets is there after so many blocks, bool [entries]. */
function isThere(levels: readonly Level[], blocks: Tensor): Tensor {
  const total = pastSize(levels);
  const [spans, slots] = [new Int32Array(total), new Int32Array(total)];
  for (const { size, blocks: span, first } of levels) {
    spans.fill(span, first, first + 4 * size);
    for (let slot = 0; slot < 4; slot++) {
      slots.fill(slot, first + slot * size, first + (slot + 1) * size);
    }
  }
  const digits = blocks.floorDivide(fromData(spans, [total])).remainder(4);
  return fromData(slots, [total]).lt(digits);
}

function attend(query: Tensor, { keys, values, weights }: Entries, isVisible: Tensor): Tensor {
  const logarithms = weights.log().unsqueeze(1).unsqueeze(1);
  const mask = where(isVisible, logarithms, -Infinity);
  return scaledDotProductAttention(query, keys, values, { scale: 1, mask, enableGqa: true });
}

/** The largest magnitude in values where a condition [tokens] holds, or `largest`. */
function grown(largest: Tensor, value: Tensor, condition: Tensor | null): Tensor {
  const magnitude = value.abs().amax(3);
  const own = condition === null ? magnitude : where(condition, magnitude, 0);
  return own.amax(2).maximum(largest);
}

/** The attention of one token, and the state with it. */
function stepOne(tower: Tower, levels: readonly Level[], tokens: Tokens, state: ThinformerState) {
  const { blockSize } = tower.options;
  const past = pastSize(levels);
  const length = state.length.detach();
  const place = length.remainder(blockSize);
  const blocks = length.floorDivide(blockSize);
  const isComplete = place.eq(0).logicalAnd(length.gt(0)).cast("int32");
  let entries: Entries = state;
  if (levels.length > 0) {
    const own = part(state, past, blockSize);
    const block = blocks.sub(1).clamp(0, null);
    entries = withBlock(tower, levels, entries, own, block, state.largest, isComplete);
  }
  const token = { keys: tokens.key, values: tokens.value, weights: tokens.takesPart };
  entries = replaced(entries, token, place.add(past));
  const largest = grown(state.largest, tokens.value, null);
  state.keys.assign(entries.keys);
  state.values.assign(entries.values);
  state.weights.assign(entries.weights);
  state.length.assign(length.add(1));
  // What follows depends on the new state only, which is stored whenever the result is computed.
  const last = state.length.sub(1);
  const isPast = arange(blockSize, { dtype: "int32" }).le(last.remainder(blockSize));
  const visible =
    levels.length === 0 ? isPast : cat([isThere(levels, last.floorDivide(blockSize)), isPast], 0);
  return withUpdates(attend(tokens.query, state, visible), [[state.largest, largest]]);
}

/**
 * The attention of up to a block of tokens, and the state with them: at most one block is completed on
 * the way. Tokens before its end see the coresets as they were, those behind it the new ones.
 */
function stepSome(tower: Tower, levels: readonly Level[], tokens: Tokens, state: ThinformerState) {
  const { blockSize } = tower.options;
  const past = pastSize(levels);
  const count = tokens.key.shape[2]!;
  const length = state.length.detach();
  // A block that is full stays one until there is a token behind it.
  const block = length.sub(1).clamp(0, null).floorDivide(blockSize);
  const start = length.sub(block.mul(blockSize));
  const token = { keys: tokens.key, values: tokens.value, weights: tokens.takesPart };
  const own = part(state, past, blockSize);
  const two = replaced(joined(own, own), token, start);
  const isComplete = start.add(count).gt(blockSize).cast("int32");
  const place = arange(count, { dtype: "int32" }).add(start);
  const isBehind = place.ge(blockSize);
  const inside = grown(state.largest, tokens.value, isBehind.logicalNot());

  const columns = arange(2 * blockSize, { dtype: "int32" });
  const rows = place.unsqueeze(1);
  const sameBlock = columns.ge(blockSize).eq(isBehind.unsqueeze(1));
  const seen = [columns.le(rows).logicalAnd(sameBlock)];
  const read = [two];
  let after: Entries | null = null;
  if (levels.length > 0) {
    const before = part(state, 0, past);
    const full = part(two, 0, blockSize);
    after = withBlock(tower, levels, before, full, block, inside, isComplete);
    const behind = isBehind.unsqueeze(1);
    seen.push(isThere(levels, block).logicalAnd(behind.logicalNot()));
    seen.push(isThere(levels, block.add(1)).logicalAnd(behind));
    read.push(before, after);
  }
  const shape = [count, 2 * blockSize + (read.length - 1) * past];
  const visible = seen.length === 1 ? seen[0]! : cat(seen, 1);
  const output = attend(tokens.query, joined(...read), visible.expand(shape));
  const from = isComplete.mul(blockSize);
  const rest = {
    keys: two.keys.dynamicSlice(2, from, blockSize),
    values: two.values.dynamicSlice(2, from, blockSize),
    weights: two.weights.dynamicSlice(1, from, blockSize),
  };
  const next = after === null ? rest : joined(after, rest);
  return withUpdates(output, [
    [state.keys, next.keys],
    [state.values, next.values],
    [state.weights, next.weights],
    [state.largest, grown(state.largest, tokens.value, null)],
    [state.length, length.add(count)],
  ]);
}

/** The attention of the next tokens, one or more; updates the state. */
export function stepTokens(
  tower: Tower,
  levels: readonly Level[],
  tokens: Tokens,
  state: ThinformerState,
): Tensor {
  const { blockSize } = tower.options;
  const count = tokens.key.shape[2]!;
  if (count === 1) return stepOne(tower, levels, tokens, state);
  const outputs: Tensor[] = [];
  for (let start = 0; start < count; start += blockSize) {
    const length = Math.min(blockSize, count - start);
    const piece: Tokens = {
      query: tokens.query.narrow(2, start, length),
      key: tokens.key.narrow(2, start, length),
      value: tokens.value.narrow(2, start, length),
      takesPart: tokens.takesPart.narrow(1, start, length),
    };
    const step = length === 1 ? stepOne : stepSome;
    outputs.push(step(tower, levels, piece, state));
  }
  return outputs.length === 1 ? outputs[0]! : cat(outputs, 2);
}
