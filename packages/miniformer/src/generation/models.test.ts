/** Generation with the models of this package. */

import { manualSeed, memory, profile, setDevice, tensor } from "@x/tensor";
import { beforeEach, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import type { TransformerOptions } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
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

describe.each(devices)("on %s", (_, device) => {
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
    const drawing = { maxNewTokens: 8, temperature: 2, topK: 30, seed: 1 };
    const drawn = await generate(model, prompts, drawing).tokens();
    expect(new Set(drawn.flat()).size).toBeGreaterThan(5);
    for (const use of [{ useCache: false }, { prefillChunkSize: 3 }]) {
      expect(await generate(model, prompts, { ...drawing, ...use }).tokens()).toEqual(drawn);
    }
    const beams = { maxNewTokens: 4, numBeams: 3, numReturnSequences: 3 };
    const cached = await generate(model, prompts, beams).collect();
    const uncached = await generate(model, prompts, { ...beams, useCache: false }).collect();
    expect(cached.map(({ tokens }) => tokens)).toEqual(uncached.map(({ tokens }) => tokens));
    for (const [i, prompt] of prompts.entries()) {
      const alone = await generate(model, prompt, beams).tokens();
      expect(cached.slice(3 * i, 3 * i + 3).map(({ tokens }) => tokens)).toEqual(alone);
    }
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

  test("as many tokens as the model has positions", async () => {
    const model = modelOf({ positions: "learned" });
    const [tokens] = await generate(model, [1, 2, 3]).tokens();
    // The last one is not given to the model any more.
    expect(tokens).toHaveLength(62);
    await expect(generate(model, [1, 2, 3], { maxNewTokens: 63 }).tokens()).rejects.toThrow(/64/);
  });
});
