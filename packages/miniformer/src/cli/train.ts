/** `miniformer train`. */

import { resolve } from "node:path";
import type { Command } from "commander";
import { manualSeed, memory, XError } from "@x/tensor";
import { Transformer } from "../model/transformer.js";
import { loadWeights } from "../training/checkpoint.js";
import { prepareFolder, readInput } from "./inputs.js";
import { measured } from "./measurements.js";
import type { Surroundings } from "./output.js";
import { loadAttention, useDevice } from "./plug-ins.js";
import {
  checkpointsIn,
  clearRunFolder,
  names,
  prepareRunFolder,
  readRecord,
  type TrainingRecord,
} from "./run-folder.js";
import { formatCount } from "./table.js";
import type { Job } from "./tasks/job.js";
import { prepareJob } from "./tasks/prepare.js";
import {
  completeOptions,
  declareOptions,
  type GivenOptions,
  type TrainOptions,
} from "./train-options.js";
import { attentionText, openBench, startOf } from "./trained-model.js";
import { describeRun, saveFinal, train } from "./training-run.js";
import { writeOn } from "./write-on.js";

/** Examples that a model is judged by while it trains, at most. */
const mostHeldOut = 128;

/** Adds the command to a program. */
export function addTrain(program: Command, surroundings: Surroundings): void {
  const command = program
    .command("train")
    .description(
      "Trains a transformer on text or rows of data, and shows how well it does on data it has not seen.",
    );
  declareOptions(command);
  command.action(async (given: GivenOptions) => {
    const { resume } = given;
    const record = resume === undefined ? null : await recordOf(resume);
    const options = completeOptions(given, command, record?.options ?? null);
    await runTrain({ ...options, save: resume ?? options.save }, record, surroundings);
  });
}

async function recordOf(folder: string): Promise<TrainingRecord> {
  const record = await readRecord(folder);
  if (record !== null) return record;
  throw new XError(
    "checkpoint",
    `--resume: the folder must hold a run of \`miniformer train\`, got "${folder}" without ${names.record}. Name the folder that --save named.`,
  );
}

async function runTrain(
  options: TrainOptions,
  record: TrainingRecord | null,
  surroundings: Surroundings,
): Promise<void> {
  const { output } = surroundings;
  const print = (line: string): void => {
    output.write(`${line}\n`);
  };
  const input = await readInput(options.data, options.format);
  await useDevice(options);
  await loadAttention(options.attention);
  manualSeed(options.seed);
  const start = await startOf(options, record);
  const job = await prepareJob(
    input,
    fieldOptions(options),
    { ...options, mostHeldOut, tokenizer: start?.tokenizer ?? null, ...seriesTargets(options) },
    start?.facts ?? null,
  );
  if (record === null) await prepareRunFolder(options.save, options.overwrite === true);
  else await prepareFolder(options.save);
  const bench = await openBench(job, options, record, start);
  // What was loaded may be in there.
  if (record === null && options.overwrite === true) await clearRunFolder(options.save);
  const { model } = bench;
  const files = await describeRun(job, model, options);

  const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
  print(`Learning from ${options.data}: ${job.sizes}.`);
  print(
    `Model: ${model.config.nLayers} layers of ${model.config.dModel}, ${formatCount(parameters)} parameters, ${attentionText(model.config)}, windows of ${options.length}.`,
  );
  const before = await bench.evaluate(options.batch);
  print(`Held-out data before${record === null ? " training" : ""}: ${job.headline(before)}.`);

  const { end, seconds, perSecond } = await train(bench, job, options, files, surroundings);
  const bytes = memory().total;
  let { metrics } = end;
  if (end.ending !== "aborted" && metrics !== null) {
    await loadWeights(model, checkpointsIn(options.save), "best");
    metrics = await bench.evaluate(options.batch);
  }
  model.eval();
  await saveFinal(model, job.tokenizer, options.save);
  const saved = `Saved to ${resolve(options.save)}; --resume ${options.save} continues.`;
  if (end.ending === "aborted") {
    print(`Stopped after step ${end.step}. ${saved}`);
    return;
  }
  const after = metrics ?? before;
  print(
    `Held-out data after ${end.step} steps (${seconds.toFixed(0)} s): ${job.headline(after)}; before: ${job.headline(before)}.`,
  );
  if (job.facts.task === "language" && model instanceof Transformer) {
    await letWrite(model, job, options, surroundings);
    if (options.table === true && !surroundings.interrupt.aborted) {
      const costs = { perSecond, bytes, unit: job.unit };
      output.write(await measured(model, after, costs, surroundings.interrupt));
    }
  }
  print(saved);
}

/** Lets a language model write on, where that is asked for. */
async function letWrite(
  model: Transformer,
  { tokenizer }: Job,
  { generate, prompt }: TrainOptions,
  { output, interrupt }: Surroundings,
): Promise<void> {
  if (generate === 0 || tokenizer === null) return;
  output.write(`\nThe model writes on:\n\n${prompt}`);
  const settings = { tokenizer, maxNewTokens: generate, temperature: 0.8 };
  await writeOn(model, prompt, settings, output, interrupt);
  output.write("\n\n");
}

function fieldOptions({ task, input, target }: TrainOptions): Parameters<typeof prepareJob>[1] {
  return {
    ...(task !== undefined && { task }),
    ...(input !== undefined && { input }),
    ...(target !== undefined && { target }),
  };
}

function seriesTargets({ target, tokenizer }: TrainOptions): {
  readonly targets?: readonly string[];
  readonly tokenizerName?: string;
} {
  return {
    ...(target !== undefined && { targets: target.split(",").map((name) => name.trim()) }),
    ...(tokenizer !== undefined && { tokenizerName: tokenizer }),
  };
}
