/**
 * A language model of characters, or more exactly of bytes: trained on a text, measured on the end of it
 * beside a Markov model of the same text, and let loose.
 *
 *     pnpm example character-model [--full] [FILE…]
 *
 * Without files it learns from the guides of this repository. With `--full` it trains for
 * minutes, else for a few seconds.
 */

import { readdir, readFile } from "node:fs/promises";
import { generate, Transformer, TransformerConfig } from "@x/miniformer";
import { ByteTokenizer } from "@x/miniformer/tokenizers";
import { languageModelling, tokenWindows, Trainer } from "@x/miniformer/training";
import { manualSeed } from "@x/tensor";
import { files, isFull } from "./command-line.js";
import { MarkovModel } from "./markov.js";

// The text: bytes are the tokens. The last tenth is held out.
const guides = new URL("../../../docs/", import.meta.url);
const texts =
  files.length > 0 ? files : (await readdir(guides)).sort().map((name) => new URL(name, guides));
const text = Buffer.concat(await Promise.all(texts.map((file) => readFile(file))));
const bytes = new Uint8Array(text.subarray(0, isFull ? undefined : 60_000));
const cut = Math.floor(0.9 * bytes.length);
const [learned, heldOut] = [bytes.subarray(0, cut), bytes.subarray(cut)];

manualSeed(1);
const context = 64;
const config = TransformerConfig.tiny({
  ...{ vocabSize: 256, maxSeqLen: 4 * context, positions: "rotary", initializerRange: 0.05 },
  ...(isFull ? { dModel: 128, nLayers: 2, dropout: 0.1 } : { dModel: 64, nLayers: 2 }),
});
const trainer = new Trainer({
  model: new Transformer(config),
  task: languageModelling({ bytesPerToken: 1, padding: context }),
  data: tokenWindows(learned, { length: context }),
  validation: tokenWindows(heldOut, { length: context }),
  batchSize: 8,
  steps: isFull ? 2000 : 120,
  evaluateEvery: isFull ? 250 : 120,
  learningRate: 4e-3,
  weightDecay: 0.1,
  schedule: { warmupSteps: 20, endFactor: 0.05 },
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
export const written: string = await generate(trainer.model.eval(), "The tensor", {
  tokenizer: new ByteTokenizer(),
  maxNewTokens: isFull ? 200 : 40,
  temperature: 0.7,
  seed: 1,
}).text();
console.log(`The tensor${written}`);
