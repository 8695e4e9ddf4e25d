/** Choosing the coreset of keys of every head. */

import { arange, cat, fromData, kernelHalving, where, type Tensor } from "@x/tensor";
import { check, checkKeyMask } from "@x/tensor/checks";
import { roundDraws, type HalvingDraws, type RandomnessOptions } from "../halving/draws.js";
import { checkDelta, thinningOf, type Thinning } from "./thinning.js";

/** Options of choosing a coreset. */
export interface CoresetOptions extends RandomnessOptions {
  /**
   * How large the coreset is: of n keys, n a power of four, 2^g √n are kept. A whole number from 0.
   * Default 0.
   */
  readonly g?: number;
  /** The probability with which halving may fail, above 0 and at most 1. Default 0.5. */
  readonly delta?: number;
  /** log₄ of the number of keys that are halved. Default: the largest that there are keys for. */
  readonly log4N?: number;
  /**
   * Bool [batch, keys]: true where a key takes part, false for padding, which is never chosen. What
   * is chosen is what would be of the other keys alone, up to the random numbers.
   */
  readonly keyMask?: Tensor | null;
  /** Random numbers of each round in place of those of the generator. */
  readonly draws?: readonly HalvingDraws[] | null;
}

/** A coreset of the keys of each head. */
export interface Coreset {
  /** Positions of the chosen keys, int32 [batch, heads, outputs]; 0 where there is none. */
  readonly indices: Tensor;
  /** Bool [batch, outputs]: false where there is none, because of a key mask. `null` without one. */
  readonly mask: Tensor | null;
  /** What each round chose: positions in its buckets, int32 [batch, buckets, heads, bucket / 2]. */
  readonly rounds: readonly Tensor[];
}

/** The keys that take part, in front of the others, and how many of them are used. */
interface Compacted {
  /** Positions of the keys that are thinned, int32 [batch, length]. */
  readonly places: Tensor;
  /** log₄ of the number of keys that are halved, int32 [batch]. */
  readonly log4N: Tensor;
  /** How many keys are halved, float32 [batch]. */
  readonly length: Tensor;
}

/**
 * As if each sequence of the batch had only the keys that take part: the largest power of four that
 * there are keys for, and each of so many keys.
 */
function compact(mask: Tensor, { length, log4N }: Thinning): Compacted {
  const keys = mask.shape[1]!;
  const count = mask.sum(1).cast("int32");
  const powers = Int32Array.from({ length: log4N + 1 }, (_, j) => 4 ** j);
  const exponent = count
    .unsqueeze(1)
    .ge(fromData(powers.subarray(1), [log4N]))
    .cast("int32")
    .sum(1)
    .cast("int32");
  const own = fromData(powers, [log4N + 1]).take(exponent, 0);
  const stride = count.floorDivide(own).unsqueeze(1);
  const order = mask.logicalNot().cast("int32").argsort(1);
  const nth = arange(length, { dtype: "int32" })
    .mul(stride)
    .clamp(0, keys - 1);
  return { places: order.gather(1, nth), log4N: exponent, length: own.cast("float32") };
}

/**
 * ½ + ln(2 S / δ) of a round, where S is the size of its buckets: δ = halveProb · S², and
 * halveProb = delta / 4^(g+1) / rounds / length.
 */
function multiplierOf(
  size: number,
  delta: number,
  { bucket, rounds, length }: Thinning,
  compacted: Compacted | null,
  g: number,
): number | Tensor {
  const constant = (2 * bucket) / (delta * size);
  if (compacted === null) return 0.5 + Math.log(constant * rounds * length);
  const ownRounds = compacted.log4N.sub(g).clamp(1, null).cast("float32");
  const argument = ownRounds.mul(compacted.length).mul(constant);
  return argument.log().add(0.5).reshape([-1, 1, 1, 1]);
}

/**
 * Chooses keys of shape [batch, heads, keys, size] with values [batch, heads, keys, valueSize]: takes
 * every `stride`-th, and halves in rounds. Keys are scaled by the root of the attention's scale.
 */
export function chooseCoreset(
  op: string,
  key: Tensor,
  value: Tensor,
  log4N: number,
  options: CoresetOptions,
): Coreset {
  const { g = 0, delta = 0.5, keyMask = null, draws = null } = options;
  checkDelta(op, delta);
  const [batch, heads, keys] = key.shape as [number, number, number];
  const thinning = thinningOf(op, keys, log4N, g);
  const { length, stride, bucket, rounds, outputs } = thinning;
  check(
    draws === null || draws.length === rounds,
    "argument",
    () => `${op}: draws must be given for ${rounds} rounds, got ${draws!.length}. Draw for each.`,
  );
  if (keyMask !== null) checkKeyMask(op, keyMask, [batch, keys]);
  const compacted = keyMask && compact(keyMask, thinning);
  const identity = arange(length, { dtype: "int32" }).expand([batch, heads, length]);

  const thin = (x: Tensor): Tensor => {
    if (compacted === null) return x.slice(null, null, [0, length * stride, stride]);
    const index = compacted.places.reshape([batch, 1, length, 1]);
    return x.gather(2, index.expand([batch, heads, length, x.shape[3]!]));
  };
  const lists = [identity];
  const chosen: Tensor[] = [];
  if (rounds > 0) {
    const [k, v] = [thin(key.detach()), thin(value.detach())];
    const parts: Tensor[] = [];
    let bucketCount = 0;
    for (let round = 0; round < rounds; round++) {
      const size = bucket * 2 ** round;
      const buckets = length / (bucket * 4 ** round);
      const sizes = { batch, heads, buckets, pairs: size / 2 };
      const multiplier = multiplierOf(size, delta, thinning, compacted, g);
      parts.push(roundDraws(op, sizes, multiplier, { ...options, draws: draws?.[round] ?? null }));
      bucketCount += buckets;
    }
    const largest = v.abs().amax([2, 3]);
    const all = kernelHalving(k, v, {
      bucket,
      rounds,
      offsets: largest.square().unsqueeze(-1).expand([batch, heads, bucketCount]),
      draws: parts.length === 1 ? parts[0]! : cat(parts, 2),
    });
    let start = 0;
    for (const part of parts) {
      const count = part.shape[2]!;
      lists.push(all.narrow(2, start, count));
      start += count;
    }
    chosen.push(
      ...lists.slice(1).map((list, r) => localPositions(list, lists[r]!, bucket * 2 ** r)),
    );
  }
  const last = lists.at(-1)!;
  if (compacted === null) return { indices: last.mul(stride), mask: null, rounds: chosen };

  // Each sequence has rounds, and so a list, of its own.
  const ownRounds = compacted.log4N.sub(g).clamp(0, null);
  const starts = Int32Array.from(lists, (_, r) =>
    lists.slice(0, r).reduce((sum, list) => sum + list.shape[2]!, 0),
  );
  const start = fromData(starts, [lists.length]).take(ownRounds, 0).unsqueeze(1);
  const slots = arange(outputs, { dtype: "int32" });
  const count = keyMask!
    .any(1)
    .cast("int32")
    .mul(
      where(ownRounds.gt(0), powersOfTwo(thinning, g).take(compacted.log4N, 0), compacted.length),
    );
  const mask = slots.lt(count.unsqueeze(1));
  const place = where(mask, start.add(slots), 0).cast("int32");
  const slot = cat(lists, 2).gather(2, place.unsqueeze(1).expand([batch, heads, outputs]));
  const indices = compacted.places.unsqueeze(1).expand([batch, heads, length]).gather(2, slot);
  return { indices: indices.mul(mask.unsqueeze(1).cast("int32")), mask, rounds: chosen };
}

/** 2^g √n for n = 4^0, 4^1, …, 4^log4N. */
function powersOfTwo({ log4N }: Thinning, g: number): Tensor {
  const powers = Float32Array.from({ length: log4N + 1 }, (_, j) => 2 ** (g + j));
  return fromData(powers, [log4N + 1]);
}

/** Positions in the buckets of a round, from what it chose and what it chose from. */
function localPositions(chosen: Tensor, source: Tensor, size: number): Tensor {
  const [batch, heads, entries] = chosen.shape as [number, number, number];
  const first = source.reshape([batch, heads, entries, 2]).select(3, 0);
  const pair = arange(size / 2, { dtype: "int32" }).mul(2);
  return chosen
    .ne(first)
    .cast("int32")
    .reshape([batch, heads, -1, size / 2])
    .add(pair)
    .permute([0, 2, 1, 3]);
}
