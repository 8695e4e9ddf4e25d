/**
 * Naming the class of a sequence: which wave a noisy signal is, of whatever length, frequency and phase.
 * The sequences are of numbers; with `tokens` in place of `features` they would be of words.
 *
 *     pnpm example classification [--full]
 */

import { Transformer, TransformerConfig } from "@x/miniformer";
import { classification, fromArray, split, Trainer } from "@x/miniformer/training";
import { fromData, manualSeed, noGrad } from "@x/tensor";
import { isFull } from "./command-line.js";

/** Each wave by its place in a period, from 0 to 1. */
const waves: Readonly<Record<string, (place: number) => number>> = {
  sine: (place) => Math.sin(2 * Math.PI * place),
  square: (place) => (place < 0.5 ? 1 : -1),
  sawtooth: (place) => 2 * place - 1,
};
const names = Object.keys(waves);

// Random numbers that are the same in every run.
let state = 1;
const random = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};

/** A signal of 24 to 48 noisy numbers, at most three periods of a wave. */
function signal(label: number): { features: number[]; label: number } {
  const length = 24 + Math.floor(25 * random());
  const [periods, phase] = [1.5 + 1.5 * random(), random()];
  const wave = waves[names[label]!]!;
  const features = Array.from({ length }, (_, i) => {
    const noise = random() + random() + random() - 1.5;
    return wave((phase + (periods * i) / length) % 1) + 0.4 * noise;
  });
  return { features, label };
}

const signals = Array.from({ length: isFull ? 6000 : 1200 }, (_, i) => signal(i % names.length));
const { training, validation } = split(fromArray(signals), { validation: 0.2 });

manualSeed(1);
const config = TransformerConfig.tiny({
  ...{ inputDim: 1, outputDim: names.length, pooling: "mean", maxSeqLen: 48 },
  ...(isFull ? { dModel: 64, nLayers: 2 } : { dModel: 32, nLayers: 2 }),
});
const trainer = new Trainer({
  model: new Transformer(config),
  task: classification({ classes: names.length, inputDim: 1, padding: 48 }),
  data: training,
  validation,
  batchSize: 32,
  epochs: isFull ? 12 : 8,
  learningRate: 3e-3,
  schedule: "cosine",
  onEvaluate: ({ step, metrics }) =>
    console.log(`step ${step}: accuracy ${metrics.accuracy!.toFixed(3)}`),
});
const { metrics } = await trainer.train();

/** The share of held-out signals that are named right, and the mean F₁ of the classes. */
export const accuracy: number = metrics!.accuracy!;
export const f1: number = metrics!.f1Macro!;
console.log(`Held-out signals: accuracy ${accuracy.toFixed(3)}, F1 ${f1.toFixed(3)}`);

// One of them by hand.
const { features, label } = validation.at!(0);
const logits = noGrad(() =>
  trainer.model.eval().forward(fromData(Float32Array.from(features), [1, features.length, 1])),
);
console.log(`A ${names[label]!} is taken for a ${names[await logits.argmax(-1).item()]!}.`);
