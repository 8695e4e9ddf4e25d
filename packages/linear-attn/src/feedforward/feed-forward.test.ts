import { manualSeed, randn, zeros } from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { describe, expect, it } from "vitest";
import { Chunk } from "./chunk.js";
import { FeedForward } from "./feed-forward.js";

describe("FeedForward", () => {
  it("gates one half by the activation of the other", async () => {
    const layer = new FeedForward(4, { mult: 2, glu: true, activation: (x) => x.mul(2) });
    const x = randn([3, 4]);
    const [a, b] = layer.w1.forward(x).chunk(2, -1) as [typeof x, typeof x];
    await expectClose(layer.forward(x), layer.w2.forward(a.mul(2).mul(b)));
  });

  it("drops hidden elements in training only", async () => {
    manualSeed(2);
    const layer = new FeedForward(4, { dropout: 0.5 });
    const x = randn([3, 4]);
    const trained = await layer.forward(x).toArray();
    expect(trained).not.toEqual(await layer.forward(x).toArray());
    layer.eval();
    expect(await layer.forward(x).toArray()).toEqual(await layer.forward(x).toArray());
  });
});

describe("Chunk", () => {
  it("gives what the module gives, part by part, and has its parameters", async () => {
    const fn = new FeedForward(4);
    const sizes: number[] = [];
    const forward = fn.forward.bind(fn);
    fn.forward = (x) => {
      sizes.push(x.shape[1]!);
      return forward(x);
    };
    const x = randn([2, 10, 4]);
    await expectClose(new Chunk(3, fn, { alongDim: 1 }).forward(x), forward(x));
    expect(sizes).toEqual([4, 4, 2]);
    expect(Object.keys(new Chunk(1, fn).stateDict())).toContain("fn.w1.weight");
    expect(() => new Chunk(0, fn)).toThrow("chunks must be a whole number of at least 1, got 0");
    expect(() => new Chunk(2, fn, { alongDim: 3 }).forward(zeros([2, 4]))).toThrow("3");
  });
});
