import { arange, manualSeed, randn, tensor, type Tensor } from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { describe, expect, it } from "vitest";
import { PKM } from "./pkm.js";

const options = { heads: 2, numKeys: 4, topk: 3, dimHead: 6 };

describe("PKM", () => {
  it("reads the slots that fit best of all pairs of half keys", async () => {
    const memory = new PKM(5, options).eval();
    const x = randn([1, 3, 5]);
    const queries = memory.toQueries.forward(x).mul(1 / Math.sqrt(1 + 1e-5));
    // All 16 scores a head, and the three best of them.
    const [left, right] = queries.chunk(2, -1).map((half) => half.unflatten(-1, [2, 3])) as [
      Tensor,
      Tensor,
    ];
    const score = (half: Tensor, side: number): Tensor =>
      half.transpose(1, 2).matmul(memory.keys.select(2, side).transpose(-1, -2));
    const scores = score(left, 0).unsqueeze(-1).add(score(right, 1).unsqueeze(-2)).flatten(-2);
    const { values, indices } = scores.topk(3);
    const read = memory.values.forward(indices).mul(values.softmax(-1).unsqueeze(-1));
    await expectClose(memory.forward(x), read.sum([1, 3]), {
      relative: 1e-5,
      relativeTo: "largest",
    });
  });

  it("takes statistics of the tokens that are not masked, and follows them", async () => {
    manualSeed(4);
    const memory = new PKM(5, options);
    const inputMask = tensor([
      [true, true, false, true],
      [true, false, false, true],
    ]);
    const hidden = inputMask.logicalNot().unsqueeze(-1);
    const x = await randn([2, 4, 5]).realize();
    const start = memory.clone();
    const y = await memory.forward(x, { inputMask }).realize();
    const changed = start.forward(x.maskedFill(hidden, 50), { inputMask });
    const seen = (z: Tensor): Promise<unknown> => z.maskedFill(hidden, 0).toArray();
    expect(await seen(changed)).toEqual(await seen(y));
    expect(await start.norm.fn.runningMean.toArray()).toEqual(
      await memory.norm.fn.runningMean.toArray(),
    );
    expect(await memory.norm.fn.numBatchesTracked.item()).toBe(1);

    const tokens = memory.toQueries
      .forward(x)
      .reshape([8, -1])
      .take(tensor([0, 1, 3, 4, 7], { dtype: "int32" }), 0);
    await expectClose(memory.norm.fn.runningVar, tokens.var(0).mul(0.1).add(0.9));
    // Outside training nothing moves.
    await memory.eval().forward(x).realize();
    expect(await memory.norm.fn.numBatchesTracked.item()).toBe(1);
  });

  it("trains the keys, and only the slots that are read", async () => {
    const memory = new PKM(5, options);
    memory
      .forward(randn([1, 2, 5]))
      .square()
      .sum()
      .backward();
    expect(await memory.keys.grad!.abs().max().item()).toBeGreaterThan(0);
    const moved = memory.values.weight.grad!.abs().sum(-1).gt(0);
    const count = await moved.int().sum().item();
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThanOrEqual(12);
  });

  it("refuses what does not fit", () => {
    expect(() => new PKM(5, { ...options, topk: 5 })).toThrow(
      "PKM: topk must be a whole number from 1 to 4, got 5. Correct it.",
    );
    const memory = new PKM(5, options);
    expect(() => memory.forward(arange(5).float())).toThrow(
      "the input must be float32 [batch, length, 5], got float32 [5].",
    );
  });
});
