/** `miniformer train`. */

import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { manualSeed, memory, XError } from "@x/tensor";
import { init } from "@x/tensor/nn";
import { retrofit } from "../adaptation/retrofit.js";
import type { AttentionSpec } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { Transformer } from "../model/transformer.js";
import { ownConfigOf, type ConfiguredModel } from "../pretrained/own-format.js";
import { savePretrained } from "../pretrained/save-pretrained.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { loadWeights } from "../training/checkpoint.js";
import { csvLog, logFile } from "../training/logs.js";
import type { EndReport } from "../training/report.js";
import type { Metrics } from "../training/task.js";
import { notWritable, prepareFolder, readInput } from "./inputs.js";
import {
  loadModel,
  namingPlace,
  openModelFolder,
  tokenizerIn,
  type ModelFolder,
} from "./load-model.js";
import type { Surroundings } from "./output.js";
import { attentionSpec, loadAttention, useDevice } from "./plug-ins.js";
import { Progress } from "./progress.js";
import {
  checkpointsIn,
  clearRunFolder,
  names,
  prepareRunFolder,
  readRecord,
  type TrainingRecord,
} from "./run-folder.js";
import { formatBytes, formatCount, formatTable } from "./table.js";
import type { Bench, Job } from "./tasks/job.js";
import { prepareJob } from "./tasks/prepare.js";
import {
  completeOptions,
  declareOptions,
  type GivenOptions,
  type TrainOptions,
} from "./train-options.js";
import { timeTokens, writeOn } from "./write-on.js";

/** Examples that a model is judged by while it trains, at most. */
const mostHeldOut = 128;
/** What a checkpoint of a model is judged by: language models may have to be told much later tokens. */
const longestText = 2048;
/** Positions at which the time of a token is shown. */
const timedPositions = [100, 2000];

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
  { output, interrupt }: Surroundings,
): Promise<void> {
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

  const { end, seconds, perSecond } = await train(bench, job, options, files, {
    output,
    interrupt,
  });
  const bytes = memory().total;
  const storage = checkpointsIn(options.save);
  let { metrics } = end;
  if (end.ending !== "aborted" && metrics !== null) {
    await loadWeights(model, storage, "best");
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
  if (job.facts.task === "language" && model instanceof Transformer && job.tokenizer !== null) {
    const { tokenizer } = job;
    if (options.generate > 0) {
      print("\nThe model writes on:\n");
      output.write(options.prompt);
      const settings = { tokenizer, maxNewTokens: options.generate, temperature: 0.8 };
      await writeOn(model, options.prompt, settings, output, interrupt);
      print("\n");
    }
    if (options.table === true && !interrupt.aborted) {
      output.write(await measured(model, after, perSecond, bytes, job.unit, interrupt));
    }
  }
  print(saved);
}

interface Start {
  readonly folder: ModelFolder | null;
  readonly tokenizer: Tokenizer | null;
  readonly facts: Job["facts"] | null;
}

/** What a run begins with, if not with nothing. */
async function startOf(
  options: TrainOptions,
  record: TrainingRecord | null,
): Promise<Start | null> {
  if (record !== null) {
    const tokenizer = await tokenizerIn({ path: options.save, config: {} });
    return { folder: null, tokenizer, facts: record.facts };
  }
  if (options.load === undefined) return null;
  const folder = await openModelFolder(options.load, "--load");
  const facts = (await readRecord(folder.path))?.facts ?? null;
  return { folder, tokenizer: await tokenizerIn(folder), facts };
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

async function openBench(
  job: Job,
  options: TrainOptions,
  record: TrainingRecord | null,
  start: Start | null,
): Promise<Bench> {
  return job.open(async (make) => {
    const { folder = null } = start ?? {};
    if (folder !== null) {
      const { dropout } = options;
      const { model } = await loadModel(folder, make, { dropout });
      changeAttention(model, options);
      return model;
    }
    if (record !== null) return make(TransformerConfig.fromJSON(record.config));
    const { width, layers } = options;
    // As large as a map of that width needs to keep the size of what goes through.
    const initializerRange = Number((0.9 / Math.sqrt(width)).toPrecision(3));
    const config = new TransformerConfig({
      ...job.fields,
      dModel: width,
      nLayers: layers,
      nHeads: options.heads,
      maxSeqLen: Math.max(options.length, options.positions === "learned" ? 0 : longestText),
      positions: options.positions,
      dropout: options.dropout,
      finalNorm: true,
      embeddingScale: false,
      initializerRange,
      attention: attentionOf(options),
    });
    const model = make(config);
    // What is added to the residual stream starts small.
    for (const [name, parameter] of model.namedParameters()) {
      if (/(\.wo|linear2)\.weight$/.test(name)) {
        init.normal(parameter, 0, initializerRange / Math.sqrt(2 * layers));
      }
    }
    return model;
  });
}

function attentionOf({ attention, length }: TrainOptions): TransformerConfig["attention"] {
  const specs = attention.map((name) => attentionSpec(name, length));
  return specs.length === 1 ? specs[0]! : specs;
}

/** Puts the attention that is asked for into a loaded model; what it is not asked to change stays. */
function changeAttention(model: ConfiguredModel, { attention, length }: TrainOptions): void {
  const { config } = model;
  for (let layer = 0; layer < config.nLayers; layer++) {
    const name = attention[layer % attention.length]!;
    if (name === "softmax" || nameOf(config.attentionOf(layer)) === name) continue;
    retrofit(model, attentionSpec(name, length), { layers: [layer] });
  }
}

function nameOf(spec: AttentionSpec): string {
  if (typeof spec === "string") return spec;
  return "name" in spec ? String(spec.name) : "own";
}

function attentionText({ attention }: TransformerConfig): string {
  const all = new Set([attention].flat().map(nameOf));
  return `${[...all].join(" and ")} attention`;
}

/** Writes what the run is about into its folder; gives the files that every checkpoint has too. */
async function describeRun(
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

interface Trained {
  readonly end: EndReport;
  readonly seconds: number;
  readonly perSecond: number;
}

async function train(
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

async function saveFinal(
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

/** The small table. */
async function measured(
  model: Transformer,
  metrics: Metrics,
  perSecond: number,
  bytes: number,
  unit: string,
  interrupt: AbortSignal,
): Promise<string> {
  const { bitsPerByte, bitsPerToken } = metrics;
  const times = await timeTokens(model, timedPositions, interrupt);
  const rows: [string, string][] = [
    bitsPerByte === undefined
      ? ["bits per token", bitsPerToken!.toFixed(3)]
      : ["bits per byte", bitsPerByte.toFixed(3)],
    [`${unit} a second in training`, Number.isNaN(perSecond) ? "–" : formatCount(perSecond)],
    ["memory", formatBytes(bytes)],
    ...times.map(({ position, milliseconds }): [string, string] => [
      `ms a generated token at position ${formatCount(position)}`,
      milliseconds === null ? "–" : milliseconds.toFixed(2),
    ]),
  ];
  return `${formatTable(rows, [1])}\n`;
}
