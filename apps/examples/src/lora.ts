/**
 * Fine-tuning a checkpoint with low-rank adapters: a few numbers are trained beside weights that stay as
 * they are, saved apart from them, and put into another copy of the model.
 *
 *     pnpm example lora [--full] [FOLDER]
 *
 * The folder holds a checkpoint with a tokenizer, such as one of GPT-2, Llama or Qwen 2 that you
 * downloaded. Without one, a small model learns a guide of this repository first and is saved: the adapters
 * then teach it to write another in capitals.
 */

import { readFile } from "node:fs/promises";
import { Transformer, TransformerConfig } from "@x/miniformer";
import { addLora, loadLora, loraStateDict, mergeLora, removeLora } from "@x/miniformer/adaptation";
import { fromPretrained, savePretrained } from "@x/miniformer/pretrained";
import { ByteTokenizer } from "@x/miniformer/tokenizers";
import { languageModelling, tokenWindows, Trainer } from "@x/miniformer/training";
import { fromData, manualSeed, noGrad, type Tensor } from "@x/tensor";
import { loadSafetensors, saveSafetensors } from "@x/tensor/safetensors";
import { files, isFull } from "./command-line.js";

manualSeed(1);
const readGuide = (name: string): Promise<string> =>
  readFile(new URL(`../../../docs/${name}.md`, import.meta.url), "utf8");
const checkpoint = files[0] ?? (await makeCheckpoint());
const { model, tokenizer, config } = await fromPretrained(checkpoint);
const text = (await readGuide("choosing-an-attention")).toUpperCase();
const tokens = Int32Array.from(tokenizer!.encode(text.slice(0, isFull ? undefined : 6000)));

// Adapters stand beside the maps of attention and feed-forward; all else is frozen.
const targets = ["wq", "wk", "wv", "wo", "linear1", "linear2", "w12", "proj"];
addLora(model, { rank: 8, alpha: 16, targets });
const size = (trained: boolean): number =>
  model
    .parameters()
    .filter(({ requiresGrad }) => requiresGrad === trained)
    .reduce((sum, parameter) => sum + parameter.size, 0);
console.log(`${size(true)} numbers are trained beside ${size(false)} that are frozen.`);

const length = Math.min(config.maxSeqLen, isFull ? 128 : 32);
const examples = tokenWindows(tokens, { length });
const trainer = new Trainer({
  model,
  task: languageModelling({ padding: length }),
  data: examples,
  validation: examples,
  batchSize: 8,
  steps: isFull ? 300 : 60,
  evaluateEvery: isFull ? 50 : 20,
  learningRate: 1e-2,
  schedule: { warmupSteps: 10 },
  weightDecay: 0,
});
/** Losses on the text: before any step, and as they fell. */
export const losses: number[] = [(await trainer.evaluate()).loss!];
for await (const report of trainer.run()) {
  if (report.kind !== "evaluation") continue;
  losses.push(report.metrics.loss!);
  console.log(`step ${report.step}: loss ${report.metrics.loss!.toFixed(3)}`);
}

// The adapters alone are saved, and put into another copy of the checkpoint.
const saved = await saveSafetensors(loraStateDict(model));
const { model: copy } = await fromPretrained(checkpoint);
const prompt = fromData(tokens.slice(0, length), [1, length]);
const logitsOf = (one: Transformer): Tensor => noGrad(() => one.eval().forward(prompt));
const distance = (a: Tensor, b: Tensor): Promise<number> => a.sub(b).abs().max().item();
const published = await logitsOf(copy).realize();
addLora(copy, { rank: 8, alpha: 16, targets });
loadLora(copy, await loadSafetensors(saved));
await mergeLora(copy);

/** How far its logits, with the adapters merged into plain weights, are from those of the trained model. */
export const ofMerged: number = await distance(logitsOf(copy), logitsOf(model));
console.log(`${saved.length} bytes of adapters, merged, differ by ${ofMerged.toExponential(1)}.`);

/** How far the trained model without its adapters is from the checkpoint: not at all. */
removeLora(model);
export const ofFrozen: number = await distance(logitsOf(model), published);
console.log(`Without them the model differs from the checkpoint by ${ofFrozen}.`);

/** Trains a model of bytes on a guide; gives the files of its checkpoint, which a folder would hold. */
async function makeCheckpoint(): Promise<Map<string, Blob>> {
  const bytes = new TextEncoder().encode((await readGuide("architecture")).slice(0, 12_000));
  const untrained = new Transformer(
    TransformerConfig.tiny({ vocabSize: 256, dModel: 64, maxSeqLen: 64, positions: "rotary" }),
  );
  await new Trainer({
    model: untrained,
    task: languageModelling({ padding: 64 }),
    data: tokenWindows(bytes, { length: 64 }),
    steps: isFull ? 1000 : 100,
    learningRate: 5e-3,
  }).train();
  const saved = new Map<string, Blob>();
  await savePretrained(untrained, saved, { tokenizer: new ByteTokenizer() });
  return saved;
}
