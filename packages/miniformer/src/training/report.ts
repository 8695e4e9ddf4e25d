/** What a run tells while it goes on: plain data, which also goes from a worker to its page. */

import type { Ending } from "./checkpoint.js";
import type { Metrics } from "./task.js";

/** A run begins, or goes on. */
export interface StartReport {
  /** What it tells of. */
  readonly kind: "start";
  /** How many steps were done before. */
  readonly step: number;
  /** The step to end with, or `null` if only reading the data tells. */
  readonly totalSteps: number | null;
  /** The name of the checkpoint it goes on from, or `null`. */
  readonly resumedFrom: string | null;
}

/** A step was done. */
export interface StepReport {
  /** What it tells of. */
  readonly kind: "step";
  /** How many steps were done, this one included. */
  readonly step: number;
  /** The step to end with, or `null` if only reading the data tells. */
  readonly totalSteps: number | null;
  /** The epoch that its last batch belongs to, counted from 0. */
  readonly epoch: number;
  /** The mean loss of the step, with the auxiliary loss if there is one. */
  readonly loss: number;
  /** A running mean of the loss. */
  readonly averageLoss: number;
  /** The learning rate of the step, of the first parameter group. */
  readonly learningRate: number;
  /** The norm of all gradients before clipping, or `null` if it was not computed. */
  readonly gradientNorm: number | null;
  /** How many losses that is the mean of: tokens, examples or numbers. */
  readonly count: number;
  /** How many of them were learned from a second. */
  readonly perSecond: number;
  /** The scale of the loss in mixed precision, else `null`. */
  readonly lossScale: number | null;
  /** Whether the step was left out, because gradients overflowed. */
  readonly skipped: boolean;
}

/** The validation data was evaluated. */
export interface EvaluationReport {
  /** What it tells of. */
  readonly kind: "evaluation";
  /** How many steps were done. */
  readonly step: number;
  /** What was found. */
  readonly metrics: Metrics;
  /** Whether it was better than all before. */
  readonly isBest: boolean;
}

/** A checkpoint is complete. */
export interface CheckpointReport {
  /** What it tells of. */
  readonly kind: "checkpoint";
  /** How many steps were done. */
  readonly step: number;
  /** Its name in the storage. */
  readonly name: string;
}

/** The run is over. */
export interface EndReport {
  /** What it tells of. */
  readonly kind: "end";
  /** How many steps were done. */
  readonly step: number;
  /** Why. */
  readonly ending: Ending;
  /** What the last evaluation gave, if there was one. */
  readonly metrics: Metrics | null;
}

/** What a run tells. */
export type TrainingReport =
  StartReport | StepReport | EvaluationReport | CheckpointReport | EndReport;
