/** What a Trainer is made with. */

import type { Tensor } from "@x/tensor";
import type { Module } from "@x/tensor/nn";
import type { Source } from "../data/source.js";
import type { EarlyStoppingOptions } from "./early-stopping.js";
import type { TrainingLog } from "./logs.js";
import type { LossScaleOptions } from "./mixed-precision.js";
import type { Schedule } from "./optimization.js";
import type { CheckpointReport, EvaluationReport, StepReport, TrainingReport } from "./report.js";
import type { CheckpointStorage } from "./storage.js";
import type { Batch, Task } from "./task.js";

/** What is done when something was done; a promise is waited for. */
export type Callback<T> = (report: T) => void | Promise<void>;

/** Options of {@link Trainer}. */
export interface TrainerOptions<M extends Module, E, B extends Batch> {
  /** What is trained, on the current device. Parameters without gradients stay as they are. */
  readonly model: M;
  /** What for. */
  readonly task: Task<NoInfer<M>, E, B>;
  /** The examples to learn from. */
  readonly data: Source<E> | readonly E[];
  /** The examples to evaluate with. Default: there are none, and nothing is evaluated. */
  readonly validation?: Source<E> | readonly E[] | null;

  /** How many examples a batch has. Default 8. */
  readonly batchSize?: number;
  /** How many examples a batch has in evaluations. Default: `batchSize`. */
  readonly evaluationBatchSize?: number;
  /** How many batches make one step, computed one after the other. Default 1. */
  readonly accumulate?: number;
  /** How many steps are done. Give this, `epochs`, or both: what comes first ends the run. */
  readonly steps?: number | null;
  /** How often the data is gone through. */
  readonly epochs?: number | null;
  /** What the order of the examples follows from; `null`: as they lie. Default 0. */
  readonly seed?: number | null;
  /** Whether a last batch of an epoch with fewer examples is left out. Default false. */
  readonly dropLast?: boolean;

  /** The learning rate of AdamW. Default 0.001. */
  readonly learningRate?: number;
  /** How it changes. Default `"constant"`. */
  readonly schedule?: Schedule;
  /** How strongly matrices are drawn to 0 (see `decayGroups`). Default 0.01. */
  readonly weightDecay?: number;
  /** How much of the means of gradients and of their squares is kept. Default `[0.9, 0.999]`. */
  readonly betas?: readonly [number, number];
  /** The largest norm of all gradients taken as one vector; `null`: any. Default 1. */
  readonly clipNorm?: number | null;
  /**
   * `"mixed"`: `Linear` layers compute with their matrices rounded to float16, which halves what a
   * step reads of them. Parameters, activations, gradients and all arithmetic stay float32, on every
   * device of the engine, so no memory is saved; the loss is scaled as such training expects, and
   * steps whose gradients overflow are left out. Default `"float32"`.
   */
  readonly precision?: "float32" | "mixed";
  /** How the loss is scaled in mixed precision. */
  readonly lossScale?: LossScaleOptions;
  /** Something added to the mean loss of each batch, such as the balance of experts. */
  readonly auxiliaryLoss?: ((model: M) => Tensor) | null;

  /**
   * After how many steps the validation data is evaluated. Default: once an epoch, where its length
   * is known. It is always evaluated in the end.
   */
  readonly evaluateEvery?: number | null;
  /** The metric by which evaluations are compared. Default `"loss"`. */
  readonly metric?: string;
  /** Whether smaller or larger values are better. Default: as the metric is. */
  readonly direction?: "min" | "max";
  /** Ends the run when evaluations get no better. Default: it goes on. */
  readonly earlyStopping?: EarlyStoppingOptions | null;

  /** Where checkpoints are kept. Default: none are made. */
  readonly storage?: CheckpointStorage | null;
  /** After how many steps one is made. Default: with each evaluation. One is made in the end. */
  readonly saveEvery?: number | null;
  /** How many of the last are kept. Default 1. */
  readonly keepLast?: number;
  /** How many of those with the best evaluations are kept. Default 1. */
  readonly keepBest?: number;
  /**
   * Whether to go on from the last checkpoint in the storage, if there is one. Default false: a
   * storage that holds checkpoints is refused.
   */
  readonly resume?: boolean;
  /** Files that every checkpoint holds too, such as `config.json` and `tokenizer.json`. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;

  /** Ends the run after the step in progress, with a checkpoint, to be resumed later. */
  readonly signal?: AbortSignal | null;
  /** Where rows are written. */
  readonly logs?: readonly TrainingLog[];
  /** Called with every report. */
  readonly onReport?: Callback<TrainingReport>;
  /** Called after each step. */
  readonly onStep?: Callback<StepReport>;
  /** Called after each evaluation. */
  readonly onEvaluate?: Callback<EvaluationReport>;
  /** Called when a checkpoint is complete. */
  readonly onCheckpoint?: Callback<CheckpointReport>;
}
