import { manualSeed, profile, setDevice } from "@x/tensor";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { devices } from "../../../tensor/test/devices.js";
import { walk } from "../../test/small-models.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { fromArray, split } from "../data/source.js";
import { seriesWindows } from "../data/series.js";
import { tokenWindows } from "../data/token-windows.js";
import { Seq2SeqTransformer } from "../model/seq2seq.js";
import { Transformer } from "../model/transformer.js";
import { classification } from "./classification.js";
import { languageModelling } from "./language-modelling.js";
import { decayGroups } from "./optimization.js";
import { forecasting } from "./regression.js";
import { sequenceToSequence } from "./sequence-to-sequence.js";
import { Trainer } from "./trainer.js";

const sizes = { dModel: 16, nHeads: 2, nLayers: 1, dFf: 32, maxSeqLen: 32 };

const timeout = 120_000;

// The reference, and a GPU that is computed on the CPU, take too long for more than one of them.
describe.each(devices.filter(([name]) => name !== "reference"))("on %s", (name, device) => {
  beforeAll(() => {
    setDevice(device);
  });
  beforeEach(() => {
    manualSeed(1);
  });

  test("a Transformer learns the next token", { timeout }, async () => {
    const config = new TransformerConfig({ ...sizes, vocabSize: 16, outputDim: 16 });
    const { training, validation } = split(tokenWindows(walk(801), { length: 16 }));
    const trainer = new Trainer({
      model: new Transformer(config),
      task: languageModelling({ padding: 16, bytesPerToken: 1 }),
      data: training,
      validation,
      epochs: 8,
      batchSize: 4,
      learningRate: 0.01,
    });
    const { result, compileCount } = await profile(() => trainer.train());
    expect(result.metrics!.bitsPerByte).toBeLessThan(0.8);
    // Initial numbers; steps of whole and of last batches; the same in evaluation; reading.
    expect(compileCount).toBeLessThanOrEqual(8);
  });

  if (name !== "webgpu") {
    test("a Transformer learns classes of sequences of different lengths", async () => {
      const config = new TransformerConfig({
        ...sizes,
        ...{ vocabSize: 8, outputDim: 3, pooling: "mean", causal: false },
      });
      // The class is told by one token somewhere.
      const examples = Array.from({ length: 120 }, (_, i) => {
        const tokens = Array.from({ length: 3 + ((i * 5) % 14) }, (_, j) => 3 + ((i + j * j) % 5));
        tokens[(i * 3) % tokens.length] = i % 3;
        return { tokens, label: i % 3 };
      });
      const { training, validation } = split(fromArray(examples), { validation: 0.2 });
      const trainer = new Trainer({
        model: new Transformer(config),
        task: classification({ classes: 3 }),
        data: training,
        validation,
        epochs: 12,
        learningRate: 0.01,
      });
      const { metrics } = await trainer.train();
      expect(metrics!.accuracy).toBeGreaterThan(0.9);
      expect(metrics!.f1Macro).toBeGreaterThan(0.9);
    });
  }

  if (name !== "webgpu") {
    test("a Seq2SeqTransformer learns to turn sequences around", async () => {
      const config = new TransformerConfig({ ...sizes, vocabSize: 7, outputDim: 7 });
      const pairs = Array.from({ length: 160 }, (_, i) => {
        const source = Array.from({ length: 1 + (i % 4) }, (_, j) => 3 + ((i * 7 + j * j * i) % 4));
        return { source, target: source.toReversed() };
      });
      const { training, validation } = split(fromArray(pairs), { validation: 0.1 });
      const trainer = new Trainer({
        model: new Seq2SeqTransformer(config),
        task: sequenceToSequence({ beginToken: 1, endToken: 2 }),
        data: training,
        validation,
        epochs: 25,
        learningRate: 0.01,
      });
      const { metrics } = await trainer.train();
      expect(metrics!.accuracy).toBeGreaterThan(0.9);
    });
  }

  if (name !== "webgpu") {
    test("a Transformer forecasts better than the last value", async () => {
      const config = new TransformerConfig({
        ...sizes,
        ...{ inputDim: 2, outputDim: 3, pooling: "last", causal: true },
      });
      const rows = Array.from({ length: 220 }, (_, i) => [
        Math.sin(i / 3),
        Math.cos(i / 3) + Math.sin(i / 7) / 2,
      ]);
      const windows = { context: 12, horizon: 3, targets: [0] };
      const data = seriesWindows(rows, { ...windows, to: 170 });
      const validation = seriesWindows(rows, { ...windows, from: 170 });
      let naive = 0;
      for (let i = 0; i < validation.length!; i++) {
        const { features, target } = validation.at!(i);
        for (const value of target) naive += Math.abs(value - features[22]!);
      }
      naive /= 3 * validation.length!;
      const trainer = new Trainer({
        model: new Transformer(config),
        task: forecasting({ inputDim: 2 }),
        data,
        validation,
        epochs: 10,
        learningRate: 0.01,
      });
      const { metrics } = await trainer.train();
      expect(metrics!.mae).toBeLessThan(naive / 4);
    });
  }
});

test("of a Transformer the matrices decay, and embeddings, norms and biases do not", () => {
  const model = new Transformer(new TransformerConfig({ ...sizes, vocabSize: 9, outputDim: 9 }));
  const names = new Map(model.namedParameters().map(([name, parameter]) => [parameter, name]));
  const [decaying, others] = decayGroups(model, 0.1).map(({ params }) =>
    params.map((parameter) => names.get(parameter)!),
  );
  expect(decaying!.length).toBe(7);
  expect(
    decaying!.every((name) => /\.(w[qkvo]|linear[12])\.weight|output_projection/.test(name)),
  ).toBe(true);
  expect(others!.some((name) => name.includes("pos_embedding"))).toBe(true);
});
