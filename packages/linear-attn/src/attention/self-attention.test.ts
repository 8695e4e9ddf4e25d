import { cat, randn, tensor, type Tensor } from "@x/tensor";
import { describe, expect, it } from "vitest";
import { SelfAttention, type SelfAttentionOptions } from "./self-attention.js";

const difference = (a: Tensor, b: Tensor): Promise<number> => a.sub(b).abs().max().item();
const rows = (x: Tensor, start: number, length: number): Tensor => x.narrow(1, start, length);

/** Sines and cosines for `length` positions of heads of size 8. */
function table(length: number): Tensor {
  const angles = randn([1, length, 4]);
  return cat([angles.sin(), angles.cos()], -1);
}

const kinds: readonly [string, SelfAttentionOptions][] = [
  ["global", {}],
  ["local", { nLocalAttnHeads: 4, localAttnWindowSize: 5 }],
  ["mixed", { nLocalAttnHeads: 1, localAttnWindowSize: 4 }],
  ["blind spot", { blindspotSize: 4, nLocalAttnHeads: 2, localAttnWindowSize: 4 }],
  ["one key head", { oneKvHead: true, nLocalAttnHeads: 2, localAttnWindowSize: 6, dimHead: 6 }],
];

describe("SelfAttention", () => {
  it.each(kinds)("gives in parts what it gives at once: %s", async (_, options) => {
    const attention = new SelfAttention(32, 4, { ...options, causal: true });
    const x = randn([2, 22, 32]);
    const inputMask = tensor([
      Array.from({ length: 22 }, (_, i) => i % 5 !== 3),
      Array.from({ length: 22 }, (_, i) => i > 2),
    ]);
    const posEmb = attention.dimHead === 8 ? table(22) : null;
    for (const masked of [false, true]) {
      const mask = masked ? { inputMask } : {};
      const whole = attention.forward(x, { ...mask, posEmb });
      const state = attention.initState({ batch: 2, masked });
      const parts: Tensor[] = [];
      let start = 0;
      for (const length of [1, 1, 7, 1, 1, 1, 1, 4, 5]) {
        const y = attention.forward(rows(x, start, length), {
          posEmb: posEmb && rows(posEmb, start, length),
          inputMask: masked ? rows(inputMask, start, length) : null,
          state,
        });
        parts.push(await y.realize());
        start += length;
      }
      expect(await difference(cat(parts, 1), whole)).toBeLessThan(2e-5);
      expect(await state.position.item()).toBe(22);
    }
  });
});
