/** Ending a run that gets no better. */

import { checkChoice, checkNumbers, count, nonNegative } from "@x/tensor/checks";
import { directionOf } from "./metrics.js";
import type { Metrics } from "./task.js";

/** When a run ends early. */
export interface EarlyStoppingOptions {
  /** After how many evaluations in a row without an improvement. Default 5. */
  readonly patience?: number;
  /** By how much a value must be better to be an improvement. Default 0. */
  readonly minDelta?: number;
}

/** By what evaluations are compared. */
export interface Comparison {
  /** The name of the metric. */
  readonly metric: string;
  /** Whether smaller or larger values are better. */
  readonly direction: "min" | "max";
}

/** What {@link Progress} remembers. */
export interface ProgressState {
  /** The best value so far. */
  readonly best: number | null;
  /** How many evaluations in a row were no better. */
  readonly since: number;
}

/** Fills in the comparison of a run: by default by `loss`, and in the direction of the metric. */
export function comparisonOf(
  op: string,
  metric: string,
  direction: "min" | "max" | undefined,
  known: readonly string[],
): Comparison {
  checkChoice(op, "the metric to compare by", metric, known);
  const way = direction ?? directionOf(metric);
  checkChoice(op, "the direction", way, ["min", "max"]);
  return { metric, direction: way };
}

/** Whether one value of a metric is better than another. */
export function isBetter({ direction }: Comparison, a: number, b: number, by: number = 0): boolean {
  return direction === "min" ? a < b - by : a > b + by;
}

/** Watches whether evaluations get better. */
export class Progress {
  readonly #comparison: Comparison;
  readonly #patience: number;
  readonly #minDelta: number;
  #state: ProgressState = { best: null, since: 0 };

  /** @param stopping `null`: never stops */
  constructor(comparison: Comparison, stopping: EarlyStoppingOptions | null) {
    const { patience = 5, minDelta = 0 } = stopping ?? {};
    checkNumbers("Trainer", count, { patience });
    checkNumbers("Trainer", nonNegative, { minDelta });
    this.#comparison = comparison;
    this.#patience = stopping === null ? Infinity : patience;
    this.#minDelta = minDelta;
  }

  /** Takes an evaluation; says whether it was better than all before. */
  update(metrics: Metrics): boolean {
    const value = metrics[this.#comparison.metric] ?? NaN;
    const { best, since } = this.#state;
    const better = best === null || isBetter(this.#comparison, value, best, this.#minDelta);
    this.#state = better ? { best: value, since: 0 } : { best, since: since + 1 };
    return better;
  }

  /** Whether the run should end. */
  get isOver(): boolean {
    return this.#state.since >= this.#patience;
  }

  /** What has to be saved. */
  stateDict(): ProgressState {
    return this.#state;
  }

  /** Goes on from what `stateDict()` gave. */
  loadStateDict(state: ProgressState): void {
    this.#state = { best: state.best, since: state.since };
  }
}
