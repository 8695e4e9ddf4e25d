/** Trains and writes beside the page, which stays responsive meanwhile. */

import { generate, Transformer, TransformerConfig } from "@x/miniformer";
import { ByteTokenizer } from "@x/miniformer/tokenizers";
import { languageModelling, tokenWindows, Trainer } from "@x/miniformer/training";
import { manualSeed } from "@x/tensor";
import type { Report, Request } from "./messages.js";

const tokenizer = new ByteTokenizer();
const length = 32;
let model: Transformer | null = null;

const tell = (report: Report): void => postMessage(report);

async function train(text: string, steps: number): Promise<void> {
  manualSeed(1);
  model = new Transformer(
    TransformerConfig.tiny({ vocabSize: 256, dModel: 64, positions: "rotary", maxSeqLen: 512 }),
  );
  const trainer = new Trainer({
    model,
    task: languageModelling({ padding: length }),
    data: tokenWindows(Uint8Array.from(tokenizer.encode(text)), { length, stride: 1 }),
    steps,
    learningRate: 5e-3,
    schedule: "cosine",
    onStep: ({ step, averageLoss }) =>
      tell({ kind: "step", step, bitsPerByte: averageLoss / Math.LN2 }),
  });
  await trainer.train();
  model.eval();
  tell({ kind: "trained" });
}

async function write(beginning: string): Promise<void> {
  const options = { tokenizer, maxNewTokens: 120, temperature: 0.3, seed: 1 };
  for await (const { text } of generate(model!, beginning, options)) {
    tell({ kind: "written", text, isEnd: false });
  }
  tell({ kind: "written", text: "", isEnd: true });
}

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  const job = data.kind === "train" ? train(data.text, data.steps) : write(data.beginning);
  job.catch((error: unknown) => tell({ kind: "failed", sentence: String(error) }));
});
