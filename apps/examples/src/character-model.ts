/**
 * A language model of characters, or more exactly of bytes: trained on a text, measured on files that it
 * has not seen beside Markov models of the same text, and let loose.
 *
 *     pnpm example character-model [--full] [FILE…]
 *
 * Without files it learns from the sources of @x/tensor. With `--full` it trains for about a minute on
 * two cores, else for a few seconds on a part of the text.
 */

import { readdir, readFile } from "node:fs/promises";
import { generate, Transformer, TransformerConfig } from "@x/miniformer";
import { ByteTokenizer } from "@x/miniformer/tokenizers";
import { languageModelling, tokenWindows, Trainer } from "@x/miniformer/training";
import { manualSeed } from "@x/tensor";
import { files, isFull } from "./command-line.js";
import { MarkovModel } from "./markov.js";

// The text: bytes are the tokens. Every tenth file is held out; of fewer files, the end of the text.
const sources = new URL("../../../packages/tensor/src/", import.meta.url);
const names = (await readdir(sources, { recursive: true }))
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
  .sort();
const places = files.length > 0 ? files : names.map((name) => new URL(name, sources));
const texts = await Promise.all(places.map((place) => readFile(place)));
const all = Buffer.concat(texts);
const cut = Math.floor(0.9 * all.length);
const [first, last] =
  texts.length < 10
    ? [all.subarray(0, cut), all.subarray(cut)]
    : [
        Buffer.concat(texts.filter((_, i) => i % 10 !== 9)),
        Buffer.concat(texts.filter((_, i) => i % 10 === 9)),
      ];
const learned = new Uint8Array(first.subarray(0, isFull ? undefined : 54_000));
const heldOut = new Uint8Array(last.subarray(0, isFull ? undefined : 6000));

/*
 * What lets a small model learn fast: a first layer that sees four bytes, so that it need not find out
 * first that the nearest matter most; norms of queries and keys, which allow a high rate; many steps of
 * few bytes; and a rate that falls to 0.
 */
manualSeed(1);
const context = 128;
const config = TransformerConfig.tiny({
  ...{ vocabSize: 256, outputDim: 256, maxSeqLen: 4 * context, positions: "rotary" },
  ...(isFull ? { dModel: 96, nHeads: 3, dFf: 256 } : { dModel: 64, nHeads: 2, dFf: 128 }),
  ...{ nLayers: 2, slidingWindow: [4, null], activation: "geglu", bias: false },
  ...{ norm: "rms", qkNorm: true, embeddingScale: true, initializerRange: 0.05 },
});
const steps = isFull ? 3500 : 150;
const trainer = new Trainer({
  model: new Transformer(config),
  task: languageModelling({ bytesPerToken: 1, padding: context }),
  data: tokenWindows(learned, { length: context, stride: 1 }),
  // Each window is read from nothing: its first bytes are harder than they are for the Markov models.
  validation: tokenWindows(heldOut, { length: context }),
  batchSize: 4,
  evaluationBatchSize: 16,
  steps,
  evaluateEvery: isFull ? steps / 4 : steps,
  learningRate: 1e-2,
  betas: [0.9, 0.98],
  weightDecay: 0.1,
  schedule: { name: "linear", warmupSteps: 30, endFactor: 0 },
  onEvaluate: ({ step, metrics }) =>
    console.log(`step ${step}: ${metrics.bitsPerByte!.toFixed(3)} bits per byte`),
});
const start = performance.now();
const { metrics } = await trainer.train();
const seconds = Math.round((performance.now() - start) / 1000);

/** Bits a byte of the held-out text takes, with the model and with Markov models of order 0 to 3. */
export const model: number = metrics!.bitsPerByte!;
export const markov: readonly number[] = [0, 1, 2, 3].map((order) =>
  new MarkovModel(learned, order).bitsPerByte(heldOut),
);
console.log(
  `A byte of ${heldOut.length} held-out bytes takes, after ${learned.length} were learned:`,
);
console.log(`  ${model.toFixed(3)} bits with the transformer, trained for ${seconds} s`);
markov.forEach((bits, order) => console.log(`  ${bits.toFixed(3)} bits with order ${order}`));

/** What the model writes. */
const prompt = "export function ";
export const written: string = await generate(trainer.model.eval(), prompt, {
  tokenizer: new ByteTokenizer(),
  maxNewTokens: isFull ? 200 : 40,
  temperature: 0.7,
  seed: 1,
}).text();
console.log(prompt + written);
