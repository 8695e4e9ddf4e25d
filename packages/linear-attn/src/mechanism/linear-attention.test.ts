import { cat, manualSeed, randn, tensor, type Tensor } from "@x/tensor";
import { describe, expect, it } from "vitest";
import { LinearAttention } from "./linear-attention.js";

const difference = (a: Tensor, b: Tensor): Promise<number> => a.sub(b).abs().max().item();

describe("LinearAttention", () => {
  it("decodes what it computes at once, with shared key heads and a mask", async () => {
    const attention = new LinearAttention();
    const q = randn([2, 4, 9, 3]);
    const [k, v] = [randn([2, 2, 9, 3]), randn([2, 2, 9, 5])];
    const keyMask = tensor([
      [true, true, false, true, true, true, false, true, true],
      [false, false, true, true, true, true, true, true, false],
    ]);
    const whole = attention.forward(q, k, v, { isCausal: true, keyMask });
    const state = attention.initState({ batch: 2, heads: 2, headDim: 3, valueDim: 5 });
    const parts: Tensor[] = [];
    let start = 0;
    for (const length of [1, 1, 5, 2]) {
      const [a, b, c] = [q, k, v].map((x) => x.narrow(2, start, length)) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      const options = { keyMask: keyMask.narrow(1, start, length) };
      parts.push(await attention.step(a, b, c, state, options).realize());
      start += length;
    }
    expect(await difference(cat(parts, 2), whole)).toBeLessThan(1e-5);
  });

  it("drops what is read in training only", async () => {
    manualSeed(1);
    const attention = new LinearAttention();
    const x = randn([1, 2, 50, 4]);
    const dropped = attention.forward(x, x, x.abs().add(1), { isCausal: true, dropout: 0.5 });
    const zeros = await dropped.eq(0).float().mean().item();
    expect(zeros).toBeGreaterThan(0.3);
    expect(zeros).toBeLessThan(0.7);
  });
});
