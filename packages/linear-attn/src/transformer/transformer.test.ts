import { cat, manualSeed, noGrad, randint, randn, tensor, where, type Tensor } from "@x/tensor";
import { forkState } from "@x/tensor/nn";
import { describe, expect, it } from "vitest";
import { fault } from "../../test/faults.js";
import { LinearAttentionTransformerLM } from "./language-model.js";
import type { LinearAttentionTransformerLMOptions } from "./options.js";
import { LinformerContextSettings, LinformerSettings } from "./settings.js";
import { LinearAttentionTransformer } from "./transformer.js";

const length = 16;

const base = {
  numTokens: 23,
  dim: 16,
  depth: 2,
  maxSeqLen: 32,
  heads: 2,
  dimHead: 8,
  causal: true,
  localAttnWindowSize: 4,
} satisfies LinearAttentionTransformerLMOptions;

type Options = Partial<LinearAttentionTransformerLMOptions>;

function makeModel(options: Options = {}): LinearAttentionTransformerLM {
  manualSeed(5);
  return new LinearAttentionTransformerLM({ ...base, ...options }).eval();
}

const tokensOf = (batch: number): Tensor => randint(base.numTokens, [batch, length]);

const difference = (a: Tensor, b: Tensor): Promise<number> => a.sub(b).abs().max().item();

const causal: readonly [string, Options][] = [
  ["global heads", {}],
  ["local heads layer by layer", { nLocalAttnHeads: [2, 1] }],
  ["a blind spot", { blindspotSize: 4, nLocalAttnHeads: 1 }],
  ["token shift and rotations", { shiftTokens: true, useRotaryEmb: true, nLocalAttnHeads: 1 }],
  ["a reversible stack", { reversible: true, ffGlu: true, ffChunks: 2, shiftTokens: true }],
  ["other embeddings and one key head", { embDim: 12, oneKvHead: true, useAxialPosEmb: false }],
  ["a product-key memory", { pkmLayers: 1, pkmNumKeys: 4, returnEmbeddings: true }],
];

describe.each(causal)("a causal language model with %s", (_, options) => {
  it("gives in parts what it gives at once", async () => {
    const model = makeModel(options);
    const tokens = tokensOf(2);
    const inputMask = tensor([0, 1].map((i) => Array.from({ length }, (_, n) => n % 5 !== i)));
    for (const mask of [null, inputMask]) {
      const whole = noGrad(() => model.forward(tokens, { inputMask: mask }));
      const state = model.initState(2, { masked: mask !== null });
      const parts: Tensor[] = [];
      let start = 0;
      for (const part of [3, 1, 1, 6, 1, 4]) {
        const y = noGrad(() =>
          model.forward(tokens.narrow(1, start, part), {
            state,
            inputMask: mask?.narrow(1, start, part) ?? null,
          }),
        );
        parts.push(await y.realize());
        start += part;
      }
      expect(await difference(cat(parts, 1), whole)).toBeLessThan(5e-5);
      expect(await state.position.item()).toBe(length);
    }
  });

  it("does not see the future", async () => {
    const model = makeModel(options);
    const tokens = tokensOf(1);
    const changed = cat([tokens.narrow(1, 0, 11), tokens.narrow(1, 11, 5).add(1).remainder(23)], 1);
    const [a, b] = [model.forward(tokens), model.forward(changed)];
    expect(await difference(a.narrow(1, 0, 11), b.narrow(1, 0, 11))).toBe(0);
    expect(await difference(a.narrow(1, 11, 5), b.narrow(1, 11, 5))).toBeGreaterThan(1e-3);
  });
});

it.each([
  ["causal", { causal: true }],
  ["not causal", { causal: false, ffDropout: 0.1 }],
  ["axial", { causal: false, attendAxially: true, useRotaryEmb: true, dimHead: 6 }],
  [
    "Linformer",
    { causal: false, nLocalAttnHeads: 0, linformerSettings: new LinformerSettings({ k: 5 }) },
  ],
] satisfies [string, Options][])("keeps padding out: %s", async (_, options: Options) => {
  const model = makeModel({ nLocalAttnHeads: 1, shiftTokens: true, maxSeqLen: 16, ...options });
  const tokens = tokensOf(2);
  const inputMask = tensor([0, 1].map((i) => Array.from({ length }, (_, n) => n > 3 + i)));
  const others = where(inputMask, tokens, tokens.add(1).remainder(23));
  const [a, b] = [tokens, others].map((x) => model.forward(x, { inputMask }).narrow(1, 5, 11));
  expect(await difference(a!, b!)).toBe(0);
});

describe("options that the original leaves out", () => {
  const shapes = (options: Options): Record<string, string> =>
    Object.fromEntries(
      Object.entries(makeModel(options).stateDict()).map(([name, { shape }]) => [
        name.replace("transformer.layers.layers.", ""),
        shape.join(),
      ]),
    );

  it("reach every layer, unless the original is reproduced", () => {
    const options = { ffGlu: true, pkmLayers: [2], pkmNumKeys: 6 };
    expect(shapes(options)).toMatchObject({
      "0.1.fn.fn.w1.weight": "128,16",
      "1.1.fn.keys": "4,6,2,128",
    });
    expect(shapes({ ...options, compat: "reference" })).toMatchObject({
      "0.1.fn.fn.w1.weight": "64,16",
      "1.1.fn.keys": "4,128,2,128",
    });
  });

  it("count axial rows among what lengths must be a multiple of", () => {
    const options = { dim: 8, depth: 1, maxSeqLen: 32, heads: 2, attendAxially: true };
    expect(new LinearAttentionTransformer(options).padToMultiple).toBe(128);
    expect(new LinearAttentionTransformer({ ...options, compat: "reference" }).padToMultiple).toBe(
      1,
    );
    const windows = { ...options, localAttnWindowSize: 6, blindspotSize: 4, causal: true };
    expect(new LinearAttentionTransformer(windows).padToMultiple).toBe(12);
  });
});

describe("an encoder and a decoder", () => {
  it.each([
    ["linear attention", null],
    ["Linformer", new LinformerContextSettings({ seqLen: length, k: 4 })],
  ])("decodes in parts with a context through %s", async (_, contextLinformerSettings) => {
    const encoder = makeModel({ causal: false, returnEmbeddings: true });
    const decoder = makeModel({ receivesContext: true, contextLinformerSettings });
    const context = await noGrad(() => encoder.forward(tokensOf(1))).realize();
    const contextMask = tensor([Array.from({ length }, (_, i) => i < 12)]);
    const tokens = tokensOf(1);
    const whole = noGrad(() => decoder.forward(tokens, { context, contextMask }));
    const state = decoder.initState(1);
    const parts: Tensor[] = [];
    for (const part of tokens.split([10, 1, 5], 1)) {
      const y = noGrad(() => decoder.forward(part, { context, contextMask, state }));
      parts.push(await y.realize());
    }
    expect(await difference(cat(parts, 1), whole)).toBeLessThan(5e-5);
  });

  it("needs the context", () => {
    expect(() => makeModel({ receivesContext: true }).forward(tokensOf(1))).toThrow(
      fault("argument", "a context comes exactly where receivesContext is set, got none."),
    );
  });
});

describe("a state", () => {
  it("can be forked", async () => {
    const model = makeModel({ nLocalAttnHeads: 1 });
    const tokens = tokensOf(1);
    const state = model.initState();
    await noGrad(() => model.forward(tokens, { state })).realize();
    const other = forkState(state);
    const next = tensor([[3]], { dtype: "int32" });
    const a = await noGrad(() => model.forward(next, { state })).realize();
    const b = await noGrad(() => model.forward(next, { state: other })).realize();
    expect(await difference(a, b)).toBe(0);
  });

  it.each([
    ["not causal", { causal: false }, 'got {"causal":false,"attendAxially":false,"compat":null}.'],
    ["axial", { attendAxially: true }, 'got {"causal":true,"attendAxially":true,"compat":null}.'],
  ])("is refused where there is none: %s", (_, options, sentence) => {
    expect(() => makeModel(options).initState()).toThrow(
      fault(
        "argument",
        `LinearAttentionTransformer: only causal attention without attendAxially and compat can be continued, ${sentence} Compute the whole sequence instead.`,
      ),
    );
  });

  it("must be complete", () => {
    const model = makeModel();
    const tokens = tokensOf(1);
    expect(() =>
      model.forward(tokens, { state: {} as ReturnType<typeof model.initState> }),
    ).toThrow(fault("shape", "the state must have a tensor position, int32 [], got none."));
    const { position } = model.initState();
    expect(() => model.forward(tokens, { state: { position } })).toThrow(
      fault("shape", "SelfAttention: the state must have a tensor position"),
    );
  });
});

it.each([
  [{ heads: 3, dimHead: null }, "dim must be a multiple of heads (3), got 16."],
  [{ nLocalAttnHeads: [1] }, "nLocalAttnHeads.length must be 2, got 1."],
  [{ nLocalAttnHeads: 3 }, "nLocalAttnHeads must be a whole number from 0 to 2, got 3."],
  [{ pkmLayers: [0] }, "pkmLayers must be a whole number from 1 to 2, got 0."],
  [
    { linformerSettings: new LinformerSettings({ k: 4 }) },
    "Linformer is not causal, got linformerSettings with causal.",
  ],
  [{ linformerSettings: { k: 4 } }, "linformerSettings must be a LinformerSettings, got object."],
  [{ ffDropout: 2 }, "ffDropout must lie between 0 and 1, got 2."],
])("rejects the options %o", (options, sentence) => {
  expect(() => new LinearAttentionTransformer({ ...base, ...options })).toThrow(
    fault("argument", `LinearAttentionTransformer: ${sentence}`),
  );
});

it("rejects positions that windows do not fit, and inputs of another kind", () => {
  expect(() => makeModel({ maxSeqLen: 30, nLocalAttnHeads: 1 })).toThrow(
    fault("argument", "maxSeqLen must be a multiple of localAttnWindowSize (4), got 30."),
  );
  expect(() => makeModel().forward(randn([1, 4]))).toThrow(
    fault("shape", "tokens must be int32 [batch, length], got float32 [1, 4]."),
  );
  expect(() => makeModel().inner.forward(randn([1, 4, 5]))).toThrow(
    fault("shape", "the input must be float32 [batch, length, 16], got float32 [1, 4, 5]."),
  );
});
