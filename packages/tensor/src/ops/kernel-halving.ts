/**
 * Kernel halving: the rounds of KH-Compress, each of which keeps half of the entries of every bucket
 * such that sums of the kernel over what is kept and over what is left are close.
 *
 * Which of a pair is kept depends on all pairs before it, so this is an operation of its own.
 */

import { check } from "../error.js";
import { applyOne, makeOp, type Op, type Spec, type Value } from "../graph/node.js";
import { formatShape, formatShapes, sameShape } from "../tensor/shape.js";
import { cast } from "./elementwise.js";

/** One round: what its buckets are, and where its part of the lists of all rounds begins. */
export interface HalvingRound {
  /** Entries of a bucket; half of them are kept. */
  readonly size: number;
  /** How many buckets there are. */
  readonly buckets: number;
  /** Entries that earlier rounds keep. */
  readonly firstEntry: number;
  /** Buckets of earlier rounds. */
  readonly firstBucket: number;
}

/**
 * The rounds of halving `length` entries in buckets of `bucket`, then of twice as many, and so on.
 * What does not fill a bucket is left out.
 */
export function halvingRounds(length: number, bucket: number, rounds: number): HalvingRound[] {
  const list: HalvingRound[] = [];
  let [entries, firstEntry, firstBucket] = [length, 0, 0];
  for (let size = bucket; list.length < rounds; size *= 2) {
    const buckets = Math.floor(entries / size);
    list.push({ size, buckets, firstEntry, firstBucket });
    entries = (buckets * size) / 2;
    firstEntry += entries;
    firstBucket += buckets;
  }
  return list;
}

/** How many entries all rounds keep, and how many buckets they have. */
export function halvingTotals(rounds: readonly HalvingRound[]): [entries: number, buckets: number] {
  const { size, buckets, firstEntry, firstBucket } = rounds.at(-1)!;
  return [firstEntry + (buckets * size) / 2, firstBucket + buckets];
}

function roundsOf([key]: readonly Pick<Spec, "shape">[], attributes: object): HalvingRound[] {
  const { bucket, rounds } = attributes as { bucket: number; rounds: number };
  return halvingRounds(key!.shape[2]!, bucket, rounds);
}

/**
 * Inputs: keys k [b, h, n, d], values v [b, h, n, e], weights [b, n], offsets c [b, h, buckets] and
 * draws [b, h, entries], with those of all rounds one after the other. Output: for each round the
 * positions that are kept, int32 [b, h, entries].
 *
 * The first round halves the positions 0 … n − 1, each later one what the one before it kept.
 * Neighbours in a bucket are pairs. With the kernel K(x, y) = exp(k_x · k_y) (v_x · v_y + c) and
 *
 *   d_ij = K(a_i, a_j) − K(z_i, a_j) − K(a_i, z_j) + K(z_i, z_j),   r_i = √max(d_ii, 0),
 *
 * where (a_i, z_i) are the pairs whose members both have a weight above 0, the i-th of a bucket is
 * swapped where i > 0 and draw_i · r_i · max_{j ≤ i} r_j ≤ Σ_{j < i} e_j d_ij; e_j is −1 for the
 * swapped and 1 for the others. Of a swapped pair z is kept, of the others a; the other way round in
 * a bucket whose first draw is negative. Of a pair with one weight above 0 that member is kept, of
 * one with none the first.
 */
export const kernelHalvingOp: Op = makeOp({
  name: "kernelHalving",
  kind: "kernel",
  infer: (inputs, attributes) => {
    const [entries] = halvingTotals(roundsOf(inputs, attributes));
    return [{ shape: [...inputs[0]!.shape.slice(0, 2), entries], dtype: "int32" }];
  },
});

/** The inputs of `kernelHalving`, and how it goes about them. */
export interface KernelHalvingArguments {
  readonly weights: Value;
  readonly offsets: Value;
  readonly draws: Value;
  readonly bucket: number;
  readonly rounds: number;
}

/** The positions that all rounds keep; see `kernelHalvingOp`. */
export function kernelHalving(
  key: Value,
  value: Value,
  { weights, offsets, draws, bucket, rounds }: KernelHalvingArguments,
): Value {
  const name = "kernelHalving";
  const inputs = [key, value, weights, offsets, draws];
  check(
    Number.isInteger(bucket) && bucket >= 2 && bucket % 2 === 0,
    "argument",
    () => `${name}: buckets have an even number of entries, got ${bucket}. Choose such a number.`,
  );
  check(
    Number.isInteger(rounds) && rounds >= 1,
    "argument",
    () => `${name}: there must be at least one round, got ${rounds}. Choose a whole number.`,
  );
  check(
    key.shape.length === 4 &&
      value.shape.length === 4 &&
      sameShape(key.shape.slice(0, 3), value.shape.slice(0, 3)) &&
      key.shape[3]! > 0 &&
      value.shape[3]! > 0,
    "shape",
    () =>
      `${name}: keys and values must have the axes [batch, heads, length, size] and fit each other, got ${formatShapes(key, value)}. Reshape them.`,
  );
  const [batch, heads, length] = key.shape as [number, number, number];
  const list = halvingRounds(length, bucket, rounds);
  const [entries, buckets] = halvingTotals(list);
  check(
    list.at(-1)!.buckets > 0,
    "argument",
    () =>
      `${name}: the last round must have a bucket of ${list.at(-1)!.size} entries, got keys of length ${length}. Use fewer rounds or smaller buckets.`,
  );
  const expected = [
    ["weights", [batch, length]],
    ["offsets", [batch, heads, buckets]],
    ["draws", [batch, heads, entries]],
  ] as const;
  expected.forEach(([what, shape], i) => {
    const actual = inputs[i + 2]!.shape;
    check(
      sameShape(actual, shape),
      "shape",
      () =>
        `${name}: the ${what} must have the shape ${formatShape(shape)}, got ${formatShape(actual)}. Expand or reshape them.`,
    );
  });
  const floats = inputs.map((input) => cast(input, "float32"));
  return applyOne(kernelHalvingOp, floats, { bucket, rounds });
}
