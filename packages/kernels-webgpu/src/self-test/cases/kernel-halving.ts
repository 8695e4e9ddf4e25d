/** Kernel halving. */

import { kernelHalving } from "@x/tensor";
import { casesOf, type Inputs, type Results, type SelfTestCase } from "../case.js";

/** Halving of [2, heads, length, size]: buckets, and pairs of all rounds as given. */
function halving(
  inputs: Inputs,
  [heads, length, bucket, rounds]: readonly [number, number, number, number],
  [buckets, pairs]: readonly [number, number],
  hidden: number,
): Results {
  const key = inputs.floats([2, length, heads, 5]).transpose(1, 2);
  const value = inputs.floats([2, heads, length, 3]);
  const options = {
    bucket,
    rounds,
    offsets: inputs.floats([heads, 1], 1, 2).expand([2, heads, buckets]),
    draws: inputs.floats([2, heads, pairs], -0.1, 0.1),
    weights: inputs.booleans([2, length], 1 - hidden).cast("float32"),
  };
  return [kernelHalving(key, value, options)];
}

/** One round, and all of them; keys with rows apart; with keys that do not take part. */
export const halvingCases: readonly SelfTestCase[] = casesOf(
  "kernel-halving",
  { tolerance: 0 },
  {
    "64 keys in buckets of 4, three rounds": (inputs) =>
      halving(inputs, [2, 64, 4, 3], [21, 56], 0),
    "100 keys in buckets of 32, one hides in four": (inputs) =>
      halving(inputs, [1, 100, 32, 1], [3, 48], 0.25),
  },
);
