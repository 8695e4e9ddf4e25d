/** Trains a tiny model in a worker, with checkpoints in the origin-private file system. */

import {
  languageModelling,
  originPrivateStorage,
  tokenWindows,
  Trainer,
} from "@x/miniformer/training";
import { manualSeed } from "@x/tensor";
import { Dropout, Embedding, Linear, Sequential } from "@x/tensor/nn";

/** What the worker is asked for. */
export interface WorkerRequest {
  /** The folder of the checkpoints. */
  readonly folder: string;
  readonly steps: number;
}

/** What it tells: steps as they are done, and the weights in the end, or what went wrong. */
export type WorkerReport =
  | { readonly kind: "step" | "start"; readonly step: number }
  | { readonly kind: "end"; readonly weights: Uint8Array }
  | { readonly kind: "failed"; readonly sentence: string };

const tell = (report: WorkerReport): void => postMessage(report);

async function train({ folder, steps }: WorkerRequest): Promise<void> {
  const storage = await originPrivateStorage(folder);
  manualSeed(3);
  const model = new Sequential(new Embedding(16, 8), new Dropout(0.2), new Linear(8, 16));
  const text = Uint8Array.from({ length: 200 }, (_, i) => (i * i + 3 * i) % 16);
  const trainer = new Trainer({
    model,
    task: languageModelling({ padding: 8 }),
    data: tokenWindows(text, { length: 8 }),
    batchSize: 4,
    steps,
    saveEvery: 3,
    storage,
    resume: true,
  });
  for await (const report of trainer.run()) {
    if (report.kind === "start" || report.kind === "step") {
      tell({ kind: report.kind, step: report.step });
    }
  }
  const [last] = (await storage.list()).sort().reverse();
  tell({ kind: "end", weights: (await storage.read(last!, "model.safetensors"))! });
}

addEventListener("message", ({ data }: MessageEvent<WorkerRequest>) => {
  train(data).catch((error: unknown) => {
    tell({ kind: "failed", sentence: String(error) });
  });
});
