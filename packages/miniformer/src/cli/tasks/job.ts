/** A task with its data: what a model for it needs, and what is done with one. */

import type { Module } from "@x/tensor/nn";
import type { Metrics } from "../../training/task.js";
import type { Batch, Task } from "../../training/task.js";
import type { EndReport, TrainingReport } from "../../training/report.js";
import type { TransformerOptions } from "../../config/fields.js";
import type { TransformerConfig } from "../../config/transformer-config.js";
import { indexed, type Source } from "../../data/source.js";
import { Trainer } from "../../training/trainer.js";
import type { TrainerOptions } from "../../training/trainer-options.js";
import type { ConfiguredModel } from "../../pretrained/own-format.js";
import type { Tokenizer } from "../../tokenizers/tokenizer.js";
import type { Facts } from "./facts.js";

/** Options of a run that do not depend on what it is for. */
export type RunOptions = Omit<
  TrainerOptions<ConfiguredModel, unknown, Batch>,
  "model" | "task" | "data" | "validation" | "auxiliaryLoss"
>;

/** A run. */
export interface Run {
  /** Trains, telling what was done. */
  run(): AsyncGenerator<TrainingReport, EndReport, undefined>;
  /** Judges the model by what is held out. */
  evaluate(): Promise<Metrics>;
}

/** A model, and what a job does with it. */
export interface Bench {
  readonly model: ConfiguredModel;
  /** A run of training. */
  run(options: RunOptions): Run;
  /** Judges the model by what is held out. */
  evaluate(batchSize: number): Promise<Metrics>;
}

/** A task with its data. */
export interface Job {
  readonly facts: Facts;
  /** What the task asks of a model. */
  readonly fields: TransformerOptions;
  /** For tasks of text. */
  readonly tokenizer: Tokenizer | null;
  /** How much data there is. */
  readonly sizes: string;
  /** The number of examples that are learned from; `null` if only reading them tells. */
  readonly examples: number | null;
  /** A loss, as people read it. */
  readonly loss: (loss: number) => string;
  /** What metrics say in short. */
  readonly headline: (metrics: Metrics) => string;
  /** What the speed counts. */
  readonly unit: string;
  /** Takes a model, which `load` makes with the function that makes one of a configuration. */
  open(
    load: <M extends ConfiguredModel>(make: (config: TransformerConfig) => M) => Promise<M>,
  ): Promise<Bench>;
}

/** What a {@link Job} is made of. */
export interface JobParts<
  T extends Module,
  M extends T & ConfiguredModel,
  E,
  B extends Batch,
> extends Omit<Job, "open" | "examples"> {
  readonly task: Task<T, E, B>;
  readonly training: Source<E>;
  readonly heldOut: Source<E>;
  readonly make: (config: TransformerConfig) => M;
}

/** A job, whatever its examples are. */
export function makeJob<T extends Module, M extends T & ConfiguredModel, E, B extends Batch>(
  parts: JobParts<T, M, E, B>,
): Job {
  const { task, training: data, heldOut: validation, make, ...rest } = parts;
  return {
    ...rest,
    examples: data.length,
    async open(load) {
      const model = await load(make);
      return {
        model,
        run: (options) => new Trainer<M, E, B>({ model, task, data, validation, ...options }),
        evaluate: (batchSize) =>
          new Trainer<M, E, B>({ model, task, data, batchSize, steps: 1 }).evaluate(validation),
      };
    },
  };
}

/** At most so many examples, evenly spread over those of a source. */
export function evenly<E>(source: Source<E>, most: number): Source<E> {
  const { length, at } = source;
  if (length === null || at === undefined || length <= most) return source;
  return indexed(most, (i) => at(Math.floor((i * length) / most)));
}

/** Metrics with the names that people know. */
export function formatMetric(value: number): string {
  return Math.abs(value) >= 1000 ? value.toExponential(3) : value.toFixed(3);
}
