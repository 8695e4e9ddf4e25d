/** Generation with the models of this package. */

import { manualSeed, memory, profile, setDevice, tensor } from "@x/tensor";
import { beforeEach, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import type { TransformerOptions } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { Seq2SeqTransformer } from "../model/seq2seq.js";
import { Transformer } from "../model/transformer.js";
import { generate } from "./generate.js";

const vocabSize = 40;

/** A model whose predictions differ from place to place. */
function modelOf(options: TransformerOptions): Transformer {
  manualSeed(1);
  const model = new Transformer(
    new TransformerConfig({
      vocabSize,
      outputDim: vocabSize,
      dModel: 16,
      nHeads: 4,
      nLayers: 2,
      dFf: 32,
      maxSeqLen: 64,
      initializerRange: 0.5,
      ...options,
    }),
  );
  return model.eval();
}

/** Expects that each token is the likeliest after those before, of which all are computed at once. */
async function expectLikeliest(
  model: Transformer,
  prompt: readonly number[],
  tokens: readonly number[],
): Promise<void> {
  const logits = model.forward(tensor([[...prompt, ...tokens]], { dtype: "int32" }));
  const likeliest = await logits.argmax(-1).data();
  expect([...likeliest.slice(prompt.length - 1, -1)]).toEqual(tokens);
}

// Software GPUs take long to compile the plans of so many kinds of calls.
describe.each(devices)("on %s", { timeout: 120_000 }, (_, device) => {
  beforeEach(() => {
    setDevice(device);
  });

  test.each<TransformerOptions>([
    { positions: "learned", tieEmbeddings: true, outputDim: null },
    { positions: "rotary", nKvHeads: 2, norm: "rms", activation: "swiglu" },
    { positions: "alibi", slidingWindow: 5 },
    { positions: "sinusoidal", preNorm: false, nKvHeads: 1 },
    { positions: "none", embeddingScale: false },
  ])("cached equals uncached, a batch equals single prompts: %o", async (options) => {
    const model = modelOf(options);
    const prompts = [[1, 2, 3, 4, 5, 6, 7], [30]];
    const expected = await generate(model, prompts, { maxNewTokens: 8 }).tokens();
    for (const [i, prompt] of prompts.entries()) {
      await expectLikeliest(model, prompt, expected[i]!);
    }
    const drawing = { maxNewTokens: 8, temperature: 20, topK: 30, seed: 1 };
    const drawn = await generate(model, prompts, drawing).tokens();
    expect(new Set(drawn.flat()).size).toBeGreaterThan(5);
    for (const use of [{ useCache: false }, { prefillChunkSize: 3 }]) {
      expect(await generate(model, prompts, { ...drawing, ...use }).tokens()).toEqual(drawn);
    }
    const beams = { maxNewTokens: 4, numBeams: 3, numReturnSequences: 3 };
    const together = await generate(model, prompts, beams).tokens();
    expect(together.slice(3)).toEqual(await generate(model, prompts[1]!, beams).tokens());
  });

  test("no step after the first ones compiles or keeps anything", async () => {
    const model = modelOf({ positions: "rotary" });
    for (const options of [{ temperature: 1, topP: 0.9, repetitionPenalty: 1.1 }, {}]) {
      const run = generate(model, [[1, 2, 3], [4]], { maxNewTokens: 40, ...options });
      const steps = run[Symbol.asyncIterator]();
      for (let i = 0; i < 5; i++) await steps.next();
      const before = memory(device).tensors;
      const { compileCount } = await profile(async () => {
        for (let i = 0; i < 30; i++) await steps.next();
      });
      expect(compileCount).toBe(0);
      expect(memory(device).tensors).toBeLessThanOrEqual(before);
      await steps.return([]);
    }
    const beams = { maxNewTokens: 25, numBeams: 4 };
    await generate(model, [1, 2, 3], beams).collect();
    const again = await profile(() => generate(model, [5, 2, 3], beams).collect());
    expect(again.compileCount).toBe(0);
  });

  test("an encoder–decoder goes on from the beginning of a target", async () => {
    manualSeed(2);
    const seq2seq = new Seq2SeqTransformer(
      new TransformerConfig({
        vocabSize,
        outputDim: vocabSize,
        dModel: 16,
        nHeads: 2,
        nLayers: 1,
        maxSeqLen: 32,
        initializerRange: 0.5,
        bosTokenId: 1,
      }),
    ).eval();
    const source = tensor(
      [
        [5, 6, 7],
        [8, 9, 2],
      ],
      { dtype: "int32" },
    );
    const model = seq2seq.bind(source);
    const expected = await generate(model, [[], []], { maxNewTokens: 6 }).tokens();
    const targets = expected.map((tokens) => [1, ...tokens]);
    const logits = seq2seq.forward(source, tensor(targets, { dtype: "int32" }));
    const likeliest = (await logits.argmax(-1).toArray()) as number[][];
    expect(likeliest.map((tokens) => tokens.slice(0, -1))).toEqual(expected);
    expect(expected[0]).not.toEqual(expected[1]);
    for (const options of [{}, { numBeams: 3, numReturnSequences: 3 }]) {
      const cached = await generate(model, [[], [1, 4]], { maxNewTokens: 6, ...options }).tokens();
      const uncached = { maxNewTokens: 6, useCache: false, ...options };
      expect(await generate(model, [[], [1, 4]], uncached).tokens()).toEqual(cached);
      const second = seq2seq.bind(source.narrow(0, 1, 1));
      const alone = await generate(second, [1, 4], { maxNewTokens: 6, ...options }).tokens();
      expect(alone).toEqual(cached.slice(cached.length / 2));
    }
  });

  test("as many tokens as the model has positions", async () => {
    const model = modelOf({ positions: "learned" });
    const [tokens] = await generate(model, [1, 2, 3]).tokens();
    // The last one is not given to the model any more.
    expect(tokens).toHaveLength(62);
    await expect(generate(model, [1, 2, 3], { maxNewTokens: 63 }).tokens()).rejects.toThrow(/64/);
  });
});
