/** The coresets of a state, and what a complete block makes of them. */

import { cat, fromData, kernelHalving, where, type Tensor } from "@x/tensor";
import { rowsAt } from "../attention/attend.js";
import { part, pastSize, replaced, type Entries } from "./state.js";
import type { Level, Tower } from "./tower.js";

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
export function withBlock(
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
export function isThere(levels: readonly Level[], blocks: Tensor): Tensor {
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
