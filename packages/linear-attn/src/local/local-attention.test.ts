import { cat, randn, tensor, zeros, type Tensor } from "@x/tensor";
import { describe, expect, it } from "vitest";
import { LocalAttention, type LocalAttentionOptions } from "./local-attention.js";

const difference = (a: Tensor, b: Tensor): Promise<number> => a.sub(b).abs().max().item();

/** What the windows mean, with all scores at once. */
function plain(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  sees: (query: number, key: number) => boolean,
): Tensor {
  const n = q.shape[2]!;
  const rows = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => sees(i, j)));
  const scores = q.matmul(k.transpose(-1, -2)).mul(q.shape[3]! ** -0.5);
  return scores.where(tensor(rows), -1e30).softmax(-1).matmul(v);
}

const heads = (length: number): Tensor[] =>
  Array.from({ length: 3 }, () => randn([2, 2, length, 4]));

describe("LocalAttention", () => {
  const kinds: readonly [string, LocalAttentionOptions, (i: number, j: number) => boolean][] = [
    ["full", { windowSize: 3 }, (i, j) => Math.abs(Math.floor(i / 3) - Math.floor(j / 3)) <= 1],
    [
      "causal",
      { windowSize: 3, causal: true, lookBackward: 2 },
      (i, j) => j <= i && Math.floor(i / 3) - Math.floor(j / 3) <= 2,
    ],
    [
      "of exact size",
      { windowSize: 3, causal: true, exactWindowsize: true },
      (i, j) => j <= i && i - j <= 3,
    ],
  ];
  it.each(kinds)("sees the keys of its windows: %s", async (_, options, sees) => {
    const [q, k, v] = heads(8) as [Tensor, Tensor, Tensor];
    const y = new LocalAttention({ ...options, autopad: true }).forward(q, k, v);
    expect(await difference(y, plain(q, k, v, sees))).toBeLessThan(1e-5);
  });

  it("lets query heads share key heads, with axes of batch and heads apart or in one", async () => {
    const [q, k, v] = heads(6) as [Tensor, Tensor, Tensor];
    const attention = new LocalAttention({ windowSize: 3 });
    const [key, value] = [k.narrow(1, 0, 1), v.narrow(1, 0, 1)];
    const y = attention.forward(q, key, value);
    const whole = attention.forward(q, key.expand([2, 2, -1, -1]), value.expand([2, 2, -1, -1]));
    expect(await difference(y, whole)).toBeLessThan(1e-6);
    const joined = attention.forward(q.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1));
    expect(await difference(joined, whole.flatten(0, 1))).toBeLessThan(1e-6);
  });

  const streams: readonly [string, LocalAttentionOptions][] = [
    ["plain", { windowSize: 4 }],
    ["rotated, of exact size", { windowSize: 3, dim: 4, exactWindowsize: true, lookBackward: 2 }],
    ["shared", { windowSize: 4, sharedQk: true }],
  ];
  it.each(streams)("gives in parts what it gives at once: %s", async (_, options) => {
    const attention = new LocalAttention({ ...options, causal: true, autopad: true });
    const [q, k, v] = heads(20) as [Tensor, Tensor, Tensor];
    const inputMask = tensor([
      Array.from({ length: 20 }, (_, i) => i % 7 !== 2),
      Array.from({ length: 20 }, (_, i) => i > 3),
    ]);
    const whole = attention.forward(q, k, v, { inputMask });
    const state = attention.initState({ batch: 2, heads: 2, headDim: 4, masked: true });
    const parts: Tensor[] = [];
    let start = 0;
    for (const length of [1, 2, 9, 1, 1, 1, 5]) {
      const part = (x: Tensor, axis: number): Tensor => x.narrow(axis, start, length);
      parts.push(
        await attention
          .step(part(q, 2), part(k, 2), part(v, 2), state, { inputMask: part(inputMask, 1) })
          .realize(),
      );
      start += length;
    }
    expect(await difference(cat(parts, 2), whole)).toBeLessThan(1e-5);
    expect(await state.position.item()).toBe(20);
  });

  it("sees its own key only if it sees no other, where queries are keys", async () => {
    const attention = new LocalAttention({ windowSize: 2, causal: true, sharedQk: true });
    const [q, , v] = heads(4) as [Tensor, Tensor, Tensor];
    const y = attention.forward(q, q, v);
    expect(
      await difference(y.narrow(2, 0, 2), v.narrow(2, 0, 1).expand([2, 2, 2, 4])),
    ).toBeLessThan(1e-6);
  });

  it("gives 0 where nothing is seen, and the mean of all with compat", async () => {
    const options = { windowSize: 2, lookBackward: 0, lookForward: 0 };
    const [q, k, v] = heads(2) as [Tensor, Tensor, Tensor];
    const inputMask = zeros([2, 2], { dtype: "bool" });
    const y = new LocalAttention(options).forward(q, k, v, { inputMask });
    expect(await y.abs().max().item()).toBe(0);
    const original = new LocalAttention({ ...options, compat: "reference" });
    const mean = v.mean(2, { keepdim: true });
    expect(
      await difference(original.forward(q, k, v, { inputMask }), mean.expandAs(v)),
    ).toBeLessThan(1e-6);
  });

  it("drops weights in training only", async () => {
    const attention = new LocalAttention({ windowSize: 4, dropout: 0.5 });
    const [q, k, v] = heads(8) as [Tensor, Tensor, Tensor];
    const trained = attention.forward(q, k, v);
    const y = attention.eval().forward(q, k, v);
    expect(await difference(trained, y)).toBeGreaterThan(0.01);
    expect(await difference(attention.forward(q, k, v), y)).toBe(0);
  });

  it("refuses what does not fit", () => {
    const [q, k, v] = heads(6) as [Tensor, Tensor, Tensor];
    expect(() => new LocalAttention({ windowSize: 2, causal: true, lookForward: 1 })).toThrow(
      "LocalAttention: lookForward of causal attention must be 0, got 1.",
    );
    const attention = new LocalAttention({ windowSize: 4 });
    expect(() => attention.forward(q, k, v)).toThrow(
      "LocalAttention: the length must be a multiple of 4, got [2, 2, 6, 4]. Pad the sequence.",
    );
    const state = attention.initState({ batch: 2, heads: 2, headDim: 4 });
    expect(() => attention.step(q, k, v, state)).toThrow(
      "only causal attention without compat can be continued, got " +
        '{"causal":false,"compat":null}.',
    );
    const causal = new LocalAttention({ windowSize: 4, causal: true });
    const inputMask = zeros([2, 6], { dtype: "bool" });
    const unmasked = causal.initState({ batch: 2, heads: 2, headDim: 4 });
    expect(() => causal.step(q, k, v, unmasked, { inputMask })).toThrow(
      "the state must have a tensor mask, bool [2, 8], got none. Make it with initState() for these sizes, with masked: true if masks come with it.",
    );
    expect(() => causal.step(q, k, v.narrow(2, 0, 5), state)).toThrow("fit each other");
  });
});
