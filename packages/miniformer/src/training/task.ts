/** What a model is trained for: how examples become batches, batches a loss, and losses metrics. */

import type { Tensor } from "@x/tensor";
import type { Module } from "@x/tensor/nn";

/** Numbers by their names, such as `{ loss: 1.2, accuracy: 0.7 }`. */
export type Metrics = Readonly<Record<string, number>>;

/** What every batch says. */
export interface Batch {
  /** How many losses are added up in the loss of the batch: tokens, examples or numbers. */
  readonly count: number;
}

/** Collects what metrics are made of, batch by batch. */
export interface Meter<M extends Module, B extends Batch> {
  /** Adds a batch, without gradients. Called with the model switched to inference. */
  add(model: M, batch: B): Promise<void>;
  /** The metrics of all batches so far; `loss` is among them. */
  metrics(): Metrics;
}

/**
 * What a model is trained for. {@link languageModelling}, {@link classification},
 * {@link regression}, {@link forecasting} and {@link sequenceToSequence} make the usual ones; any
 * object with these members is one too.
 *
 * The loss of a batch is a sum, not a mean: several batches of one step, which may count differently
 * much, then make the same gradient as one large batch.
 */
export interface Task<M extends Module, E, B extends Batch = Batch> {
  /** What it is called in errors and logs. */
  readonly name: string;
  /** The names of the metrics that meters give. */
  readonly metricNames: readonly string[];
  /** How long an example is: batches are made of similar ones. `null`: all are alike. */
  readonly lengthOf: ((example: E) => number) | null;
  /** A batch of examples, padded to one length. */
  collate(examples: readonly E[]): B;
  /** The sum of the losses of a batch, over `batch.count` of them. */
  loss(model: M, batch: B): Tensor;
  /** A meter that has seen nothing yet. */
  meter(): Meter<M, B>;
}
