import { cat, memory, noGrad, profile, randn, tensor, zeros, type Tensor } from "@x/tensor";
import { forkState } from "@x/tensor/nn";
import { loadSafetensors, saveSafetensors } from "@x/tensor/safetensors";
import { describe, expect, it } from "vitest";

import {
  SelfAttention,
  type SelfAttentionOptions,
  type SelfAttentionState,
} from "./self-attention.js";

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

  it.each([false, true])("sees nothing of padding, to the last bit; causal: %s", async (causal) => {
    const options = { causal, nLocalAttnHeads: 2, localAttnWindowSize: 4, blindspotSize: 2 };
    const attention = new SelfAttention(16, 4, options);
    const inputMask = tensor([[true, false, true, true, false, true, true, false, true, false]]);
    const hidden = inputMask.logicalNot().unsqueeze(-1);
    const x = await randn([1, 10, 16]).realize();
    const before = await x.toArray();
    const y = attention.forward(x, { inputMask });
    const changed = attention.forward(x.maskedFill(hidden, 8), { inputMask });
    const seen = (z: Tensor): Promise<unknown> => z.maskedFill(hidden, 0).toArray();
    expect(await seen(changed)).toEqual(await seen(y));
    expect(await x.toArray()).toEqual(before);
  });

  it.each(kinds)("sees nothing of what comes later, to the last bit: %s", async (_, options) => {
    const attention = new SelfAttention(32, 4, { ...options, causal: true });
    const x = await randn([1, 12, 32]).realize();
    const start = await rows(attention.forward(x), 0, 7).toArray();
    for (const from of [7, 11]) {
      const changed = cat([rows(x, 0, from), randn([1, 12 - from, 32])], 1);
      expect(await rows(attention.forward(changed), 0, 7).toArray()).toEqual(start);
    }
  });

  it("trains all parameters, and the context that it receives", async () => {
    const local = new SelfAttention(16, 2, { nLocalAttnHeads: 1, localAttnWindowSize: 4 });
    const across = new SelfAttention(16, 2, { receivesContext: true, oneKvHead: true });
    const context = (await randn([1, 5, 16]).realize()).setRequiresGrad();
    const contextMask = tensor([[true, true, false, true, false]]);
    const y = across.forward(local.forward(randn([1, 8, 16])), { context, contextMask });
    y.square().sum().backward();
    for (const parameter of [...local.parameters(), ...across.parameters()]) {
      expect(await parameter.grad!.abs().max().item()).toBeGreaterThan(0);
    }
    const seen = await context.grad!.abs().amax([0, 2]).gt(0).int().toArray();
    expect(seen).toEqual([1, 1, 0, 1, 0]);
  });

  it("goes on in two ways, and from a file; decoding compiles nothing and takes no memory", async () => {
    const attention = new SelfAttention(16, 4, {
      causal: true,
      nLocalAttnHeads: 2,
      localAttnWindowSize: 4,
      blindspotSize: 3,
    }).eval();
    const state = attention.initState({ batch: 1, masked: true });
    await noGrad(() => attention.forward(randn([1, 6, 16]), { state })).realize();
    const token = await randn([1, 1, 16]).realize();
    const step = (from: SelfAttentionState): Promise<unknown> =>
      noGrad(() => attention.forward(token, { state: from })).toArray();
    const states = [
      forkState(state),
      Object.fromEntries(await loadSafetensors(await saveSafetensors(state))) as SelfAttentionState,
    ];
    const first = [await step(state), await step(state)];
    for (const other of states) expect([await step(other), await step(other)]).toEqual(first);

    const totals: number[] = [];
    for (let i = 0; i < 40; i++) {
      const { compileCount } = await profile(() => step(state));
      expect(compileCount).toBe(0);
      totals.push(memory().total);
    }
    expect(Math.max(...totals)).toBeLessThanOrEqual(totals[0]!);
    expect(await state.position.item()).toBe(48);
  });

  it("refuses what does not fit", () => {
    expect(() => new SelfAttention(10, 4)).toThrow(
      "SelfAttention: dim must be a multiple of heads (4), got 10. Correct it.",
    );
    expect(() => new SelfAttention(8, 2, { nLocalAttnHeads: 3 })).toThrow(
      "SelfAttention: nLocalAttnHeads must be a whole number from 0 to 2, got 3. Correct it.",
    );
    const attention = new SelfAttention(8, 2, { causal: true, nLocalAttnHeads: 1 });
    const x = zeros([2, 3, 8]);
    expect(() => attention.forward(x, { context: x })).toThrow(
      "a context comes exactly where receivesContext is set, got one.",
    );
    expect(() => attention.forward(x, { state: attention.initState({ batch: 1 }) })).toThrow(
      "the state must have a tensor keyValues, float32 [2, 1, 4, 4], got float32 [1, 1, 4, 4].",
    );
    const inputMask = zeros([2, 3], { dtype: "bool" });
    const state = attention.initState({ batch: 2 });
    expect(() => attention.forward(x, { state, inputMask })).toThrow(
      "the state must have a tensor local.mask, bool [2, 256], got none. Make it with initState() for these sizes, with masked: true if masks come with it.",
    );
    expect(() => new SelfAttention(8, 2).initState({ batch: 1 })).toThrow(
      "only causal attention without receivesContext and compat can be continued, got " +
        '{"causal":false,"receivesContext":false,"compat":null}. Compute the whole sequence instead.',
    );
    expect(() => attention.forward(x, { posEmb: zeros([1, 2, 4]) })).toThrow(
      "applyRotoryPosEmb: queries and keys [batch, heads, length, dim] need a table [1, length, dim]",
    );
  });
});
