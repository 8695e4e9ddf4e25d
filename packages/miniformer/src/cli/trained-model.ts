/** The model that a run trains: new, of a run that goes on, or loaded. */

import { init } from "@x/tensor/nn";
import { retrofit } from "../adaptation/retrofit.js";
import type { AttentionSpec } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
import type { ConfiguredModel } from "../pretrained/own-format.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { loadModel, openModelFolder, tokenizerIn, type ModelFolder } from "./load-model.js";
import { attentionSpec } from "./plug-ins.js";
import { readRecord, type TrainingRecord } from "./run-folder.js";
import type { Bench, Job } from "./tasks/job.js";
import type { TrainOptions } from "./train-options.js";

/** How long sequences may be at least, where positions are not learned: texts go on after training. */
const longestText = 2048;

/** What a run begins with, if not with nothing. */
export interface Start {
  readonly folder: ModelFolder | null;
  readonly tokenizer: Tokenizer | null;
  readonly facts: Job["facts"] | null;
}

/** Finds what a run begins with. */
export async function startOf(
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

/** Opens a job with the model that a run trains: of an earlier run, loaded, or new. */
export async function openBench(
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
    return newModel(job, options, make);
  });
}

function newModel<M extends ConfiguredModel>(
  job: Job,
  options: TrainOptions,
  make: (config: TransformerConfig) => M,
): M {
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

/** What attention a model has, in words. */
export function attentionText({ attention }: TransformerConfig): string {
  const all = new Set([attention].flat().map(nameOf));
  return `${[...all].join(" and ")} attention`;
}
