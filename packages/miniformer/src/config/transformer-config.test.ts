import { expect, test } from "vitest";
import { SoftmaxAttention } from "@x/tensor/nn";
import { codeOf } from "@x/tensor/testing";
import { registerAttention } from "./attention-registry.js";
import type { TransformerOptions } from "./fields.js";
import { TransformerConfig } from "./transformer-config.js";

test("defaults follow other fields, also when these change", () => {
  const config = new TransformerConfig({ vocabSize: 10, dModel: 64, nHeads: 8 });
  expect(config).toMatchObject({
    dFf: 256,
    headDim: 8,
    nKvHeads: 8,
    causal: true,
    finalNorm: false,
  });
  expect(config.with({ dModel: 32 })).toMatchObject({ dFf: 128, headDim: 4, vocabSize: 10 });
  expect(new TransformerConfig({ inputDim: 3 })).toMatchObject({ causal: false, vocabSize: null });
  expect(config.with({ bias: false, ffBias: true })).toMatchObject({
    ...{ qkvBias: false, outputBias: false, headBias: false, ffBias: true },
  });
  expect(config.with({ compat: "reference" }).padTokenId).toBe(0);
  expect(config.with({ dFf: undefined }).dFf).toBe(256);
});

test("presets are language models with tied embeddings unless something else is said", () => {
  expect(TransformerConfig.tiny({ vocabSize: 9 })).toMatchObject({
    ...{ dModel: 128, finalNorm: true, embeddingScale: false, tieEmbeddings: true },
  });
  expect(TransformerConfig.small({ vocabSize: 9, outputDim: 2 }).tieEmbeddings).toBe(false);
  expect(TransformerConfig.base({ inputDim: 9, nLayers: 3 })).toMatchObject({
    ...{ dModel: 768, nLayers: 3, tieEmbeddings: false },
  });
});

test("a configuration is the same after JSON, the names of mechanisms included", () => {
  registerAttention("plain", { make: () => new SoftmaxAttention() });
  const config = new TransformerConfig({
    vocabSize: 10,
    nLayers: 3,
    attention: ["softmax", "plain", { name: "plain", factor: 2 }],
    slidingWindow: [4, null, null],
    rotaryScaling: {
      type: "llama3",
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositions: 64,
    },
    eosTokenId: [1, 2],
    experts: { count: 4, topK: 2, layers: [1] },
  });
  const copy = TransformerConfig.fromJSON(JSON.parse(JSON.stringify(config)));
  expect(copy).toEqual(config);
  expect([0, 1].map((layer) => copy.windowOf(layer))).toEqual([4, null]);
  expect(copy.attentionOf(2)).toEqual({ name: "plain", factor: 2 });
});

test("what cannot be built is refused, with a sentence", () => {
  const wrong: readonly (readonly [TransformerOptions, string])[] = [
    [{}, "vocabSize (for tokens) or inputDim (for feature vectors) must be given, got neither"],
    [{ vocabSize: 0 }, "vocabSize must be a whole number of at least 1, got 0"],
    [
      { vocabSize: 5, dModel: 10, nHeads: 3 },
      "headDim must be a whole number of at least 1, got 3.33",
    ],
    [{ vocabSize: 5, nHeads: 4, nKvHeads: 3 }, "nKvHeads must divide nHeads, got 3 for 4"],
    [{ vocabSize: 5, dropout: 1 }, "dropout must be at least 0 and less than 1, got 1"],
    [{ vocabSize: 5, nKvHeads: NaN }, "nKvHeads must be a whole number of at least 1, got NaN"],
    [{ inputDim: 5, tieEmbeddings: true }, "tieEmbeddings needs a model of tokens"],
    [{ vocabSize: 5, outputDim: 4, tieEmbeddings: true }, "outputDim must be vocabSize with tie"],
    [{ vocabSize: 5, slidingWindow: [3] }, "must have an element for each of 4 layers, got 1"],
    [
      { vocabSize: 5, slidingWindow: 0 },
      "slidingWindow must be a whole number of at least 1, got 0",
    ],
    [{ vocabSize: 5, attention: "unheard-of" }, 'must be one of "softmax"'],
    [
      { vocabSize: 5, attention: new SoftmaxAttention(), positions: "alibi" },
      "need softmax attention",
    ],
    [
      { vocabSize: 5, positions: "rotary", rotaryPct: 0.01 },
      "must turn an even number of elements",
    ],
    [
      { vocabSize: 5, rotaryScaling: { type: "linear", factor: 0 } },
      "rotaryScaling.factor must be",
    ],
    [
      { vocabSize: 5, experts: { count: 2, topK: 3 } },
      "topK must be at most experts.count, got 3 of 2",
    ],
    [{ vocabSize: 5, eosTokenId: [-1] }, "eosTokenId must be a whole number of at least 0, got -1"],
    [{ vocabSize: 5, compat: "reference", positions: "alibi" }, "compat has no alibi positions"],
  ];
  for (const [options, sentence] of wrong) {
    expect(() => new TransformerConfig(options), sentence).toThrow(sentence);
    expect(codeOf(() => new TransformerConfig(options))).toBe("argument");
  }
  const fromFile = (json: unknown) => () => TransformerConfig.fromJSON(json);
  expect(fromFile({ vocabSize: 5, activation: "selu" })).toThrow(
    'activation must be one of "gelu"',
  );
  expect(fromFile({ vocabSize: 5, causal: "yes" })).toThrow(
    "causal must be true or false, got yes",
  );
  expect(fromFile({ vocabSize: 5, width: 3 })).toThrow('the fields must be known, got "width"');
  expect(fromFile({ vocabSize: 5, rotaryScaling: { type: "dynamic" } })).toThrow(
    "rotaryScaling.type must be one of",
  );
  expect(fromFile({ vocabSize: 5, rotaryScaling: { type: "yarn", factor: 2 } })).toThrow(
    "rotaryScaling.originalMaxPositions must be a finite number above 0, got undefined",
  );
  expect(fromFile(null)).toThrow("must be an object of fields, got null");
  const unnamed = new TransformerConfig({ vocabSize: 5, attention: new SoftmaxAttention() });
  expect(() => unnamed.toJSON()).toThrow(
    "must have a name, got SoftmaxAttention. Give it one with",
  );
  expect(() => {
    registerAttention("softmax", { make: () => new SoftmaxAttention() });
  }).toThrow('a word other than "softmax"');
});
