/** The options of a Trainer with their defaults, checked. */

import { check, checkChoice, checkNumbers, count, positive, wholeFrom } from "@x/tensor/checks";
import type { Module } from "@x/tensor/nn";
import { fromArray, type Source } from "../data/source.js";
import type { Batch } from "./task.js";
import type { TrainerOptions } from "./trainer-options.js";

const op = "Trainer";

/** Options that have a default. */
type Optional =
  | "batchSize"
  | "evaluationBatchSize"
  | "accumulate"
  | "steps"
  | "epochs"
  | "seed"
  | "dropLast"
  | "learningRate"
  | "weightDecay"
  | "betas"
  | "clipNorm"
  | "precision"
  | "auxiliaryLoss"
  | "storage"
  | "keepLast"
  | "keepBest"
  | "resume"
  | "files"
  | "signal"
  | "logs";

/** Options as they are. */
type Plain = "model" | "task" | "onReport" | "onStep" | "onEvaluate" | "onCheckpoint";

/** What a Trainer goes by while it trains. */
export interface TrainerSettings<M extends Module, E, B extends Batch>
  extends Pick<TrainerOptions<M, E, B>, Plain>, Required<Pick<TrainerOptions<M, E, B>, Optional>> {
  /** The examples to learn from. */
  readonly data: Source<E>;
  /** The examples to evaluate with, or `null`. */
  readonly validation: Source<E> | null;
}

/** Checks the options that are not for one part only, and fills in their defaults. */
export function readTrainerOptions<M extends Module, E, B extends Batch>(
  options: TrainerOptions<M, E, B>,
): TrainerSettings<M, E, B> {
  const { validation = null, batchSize = 8, accumulate = 1, seed = 0, dropLast = false } = options;
  const { evaluationBatchSize = batchSize, keepLast = 1, keepBest = 1, resume = false } = options;
  const { learningRate = 1e-3, weightDecay = 0.01, betas = [0.9, 0.999], clipNorm = 1 } = options;
  const { precision = "float32", storage = null, earlyStopping = null } = options;
  const { evaluateEvery = null, saveEvery = null, steps = null, epochs = null } = options;
  checkNumbers(op, count, { batchSize, evaluationBatchSize, accumulate, keepLast });
  checkNumbers(op, wholeFrom(0), { keepBest });
  if (steps !== null) checkNumbers(op, count, { steps });
  if (epochs !== null) checkNumbers(op, count, { epochs });
  check(
    steps !== null || epochs !== null,
    "argument",
    () => `${op}: a run must have an end, got neither steps nor epochs. Give one of them.`,
  );
  if (clipNorm !== null) checkNumbers(op, positive, { clipNorm });
  checkChoice(op, "precision", precision, ["float32", "mixed"]);
  for (const every of [evaluateEvery, saveEvery]) {
    if (every !== null) checkNumbers(op, count, { "evaluateEvery and saveEvery": every });
  }
  check(
    earlyStopping === null || validation !== null,
    "argument",
    () => `${op}: early stopping needs validation data, got none. Give some, or leave it out.`,
  );
  check(
    storage !== null || !resume,
    "argument",
    () => `${op}: resuming needs a storage, got none. Give one, or leave resume out.`,
  );
  return {
    ...options,
    data: asSource(options.data),
    validation: validation === null ? null : asSource(validation),
    ...{ batchSize, evaluationBatchSize, accumulate, steps, epochs, seed, dropLast },
    ...{ learningRate, weightDecay, betas, clipNorm, precision },
    ...{ storage, keepLast, keepBest, resume },
    auxiliaryLoss: options.auxiliaryLoss ?? null,
    files: options.files ?? {},
    signal: options.signal ?? null,
    logs: options.logs ?? [],
  };
}

/** Examples as a source. */
export function asSource<E>(data: Source<E> | readonly E[]): Source<E> {
  return "read" in data ? data : fromArray(data);
}

/** The step to end with, where that is known. */
export function totalStepsOf(
  {
    steps,
    epochs,
    accumulate,
  }: Pick<TrainerSettings<Module, unknown, Batch>, "steps" | "epochs" | "accumulate">,
  batchesPerEpoch: number | null,
): number | null {
  const ofEpochs =
    epochs === null || batchesPerEpoch === null
      ? null
      : Math.ceil((epochs * batchesPerEpoch) / accumulate);
  if (steps === null) return ofEpochs;
  return ofEpochs === null ? steps : Math.min(steps, ofEpochs);
}
