import { describe, expect, it } from "vitest";
import {
  expectLikeReference,
  generator,
  leaf,
  randomData,
  runKernel,
} from "../../../../test/wasm/run-kernel.js";
import type { Node } from "../../../graph/node.js";
import { halvingRounds, halvingTotals, kernelHalving } from "../../../ops/kernel-halving.js";
import type { DataOf } from "../../../tensor/dtype.js";
import { kernelHalvingKernel as kernel } from "./kernel.js";

/** Sizes: batch, heads, length, keys, values; bucket and rounds. */
type Case = readonly [number, number, number, number, number, number, number];

function nodeOf([b, h, n, d, e, bucket, rounds]: Case): Node {
  const [entries, buckets] = halvingTotals(halvingRounds(n, bucket, rounds));
  const [weights, offsets, draws] = [leaf([b, n]), leaf([b, h, buckets]), leaf([b, h, entries])];
  const args = { weights, offsets, draws, bucket, rounds };
  return kernelHalving(leaf([b, h, n, d]), leaf([b, h, n, e]), args).node;
}

function dataOf({ inputs }: Node, seed: number, hidden = 0): DataOf[] {
  const random = generator(seed);
  return inputs.map((input, i) => {
    if (i === 2) return Float32Array.from(randomData(input, 1), () => Number(random() >= hidden));
    if (i === 3) return Float32Array.from(randomData(input, 1), () => 1 + random());
    // Small draws: sums decide as often as draws do.
    const factor = i === 4 ? 0.05 : 0.5;
    return Float32Array.from(randomData(input, seed * 10 + i), (x) => x * factor);
  });
}

describe("kernelHalving", () => {
  const cases: Case[] = [
    [2, 3, 64, 8, 8, 16, 2],
    [1, 1, 256, 16, 4, 4, 4],
    [1, 2, 100, 5, 7, 4, 2],
    [1, 1, 12, 1, 3, 6, 1],
    [1, 1, 130, 9, 1, 128, 1],
    [2, 1, 9, 4, 4, 2, 2],
  ];
  it.each(cases)(
    "is the reference's for %i x %i x %i, sizes %i and %i, buckets of %i, %i rounds",
    (...c) => {
      const node = nodeOf(c);
      expectLikeReference(kernel, node, { data: dataOf(node, 1) });
      expectLikeReference(kernel, node, { data: dataOf(node, 2, 0.3) });
    },
  );

  it("reads keys and values as they come from a projection", () => {
    const node = nodeOf([2, 3, 64, 8, 8, 16, 2]);
    const strides = [64 * 3 * 8, 8, 3 * 8, 1];
    const view = { offset: 0, strides };
    const shared = { offset: 0, strides: [0, 0, 0] };
    const views = [view, view, { offset: 1, strides: [0, 0] }, shared, null];
    const data = dataOf(node, 3);
    data[2] = new Float32Array(2).fill(1);
    expectLikeReference(kernel, node, { data, views });
  });

  it("keeps something sensible of equal keys, and of huge ones", () => {
    const node = nodeOf([1, 1, 32, 4, 4, 8, 2]);
    for (const size of [0, 1, 1e6]) {
      const data = dataOf(node, 4);
      data[0]!.fill(size);
      const kept = runKernel(kernel, node, { data })[0]!.slice(16);
      expect(kept.every((position, i) => Math.floor(position / 4) === i)).toBe(true);
    }
  });
});
