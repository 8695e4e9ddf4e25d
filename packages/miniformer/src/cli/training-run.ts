/** A run of training: its steps, and what is written of it. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { XError } from "@x/tensor";
import { ownConfigOf, type ConfiguredModel } from "../pretrained/own-format.js";
import { savePretrained } from "../pretrained/save-pretrained.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { csvLog, logFile } from "../training/logs.js";
import type { EndReport } from "../training/report.js";
import { notWritable } from "./inputs.js";
import { namingPlace } from "./load-model.js";
import type { Surroundings } from "./output.js";
import { Progress } from "./progress.js";
import { checkpointsIn, names, type TrainingRecord } from "./run-folder.js";
import type { Bench, Job } from "./tasks/job.js";
import type { TrainOptions } from "./train-options.js";

/** Writes what the run is about into its folder; gives the files that every checkpoint has too. */
export async function describeRun(
  job: Job,
  model: ConfiguredModel,
  options: TrainOptions,
): Promise<Record<string, string>> {
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  const { resume: _, overwrite: __, load: ___, ...kept } = options;
  const record: TrainingRecord = {
    version: 1,
    facts: job.facts,
    options: kept,
    config: model.config.toJSON(),
  };
  const tokenizer = job.tokenizer?.toJSON?.();
  const files = {
    [names.record]: json(record),
    ...(tokenizer !== undefined && { [names.tokenizer]: json(tokenizer) }),
  };
  try {
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(options.save, name), text);
    }
  } catch (error) {
    throw notWritable(options.save, error);
  }
  return { ...files, [names.config]: json(ownConfigOf(model)) };
}

/** What became of a run. */
export interface Trained {
  readonly end: EndReport;
  readonly seconds: number;
  readonly perSecond: number;
}

/** Trains, and shows how far it is. */
export async function train(
  bench: Bench,
  job: Job,
  options: TrainOptions,
  files: Readonly<Record<string, string>>,
  { output, interrupt }: Surroundings,
): Promise<Trained> {
  const { steps, batch, rate, warmup, decay, evaluateEvery, seed, save } = options;
  if (steps === 0) {
    const end = { kind: "end", step: 0, ending: "finished", metrics: null } as const;
    return { end, seconds: 0, perSecond: NaN };
  }
  const run = bench.run({
    steps,
    batchSize: batch,
    seed,
    learningRate: rate,
    schedule: { name: "cosine", warmupSteps: Math.min(warmup, steps - 1) },
    betas: [0.9, 0.95],
    weightDecay: decay,
    evaluateEvery,
    storage: checkpointsIn(save),
    resume: true,
    files,
    signal: interrupt,
    logs: [csvLog(logFile(join(save, names.log)))],
  });
  const started = performance.now();
  let progress: Progress | null = null;
  try {
    const reports = run.run();
    for (;;) {
      const { done, value } = await reports.next();
      if (done === true) {
        const seconds = (performance.now() - started) / 1000;
        return { end: value, seconds, perSecond: progress?.perSecond ?? NaN };
      }
      if (value.kind === "start") {
        if (value.resumedFrom !== null) output.write(`Going on after step ${value.step}.\n`);
        progress = new Progress({ steps, from: value.step }, output, job);
      } else if (value.kind === "step") progress?.show(value);
      else if (value.kind === "evaluation" && value.step < steps) {
        progress?.note(`Held-out data after ${value.step} steps: ${job.headline(value.metrics)}.`);
      }
    }
  } catch (error) {
    // What a storage cannot write is told under the name of the option.
    if (XError.isInstance(error) && /^(folderStorage|logFile): /.test(error.message)) {
      throw notWritable(save, error);
    }
    throw namingPlace(error, `a checkpoint in "${join(save, names.checkpoints)}"`);
  } finally {
    progress?.stop();
  }
}

/** Saves the model that came out. */
export async function saveFinal(
  model: ConfiguredModel,
  tokenizer: Tokenizer | null,
  folder: string,
): Promise<void> {
  try {
    await savePretrained(model, folder, { tokenizer });
  } catch (error) {
    throw notWritable(folder, error);
  }
}
