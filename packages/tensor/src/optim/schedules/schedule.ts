/** Learning rates that change from step to step. */

import { XError } from "../../error.js";
import type { Optimizer } from "../optimizer.js";

/** What has to be saved of a schedule. */
export interface ScheduleState {
  /** How many steps were done. */
  readonly lastStep: number;
  /** The learning rate of each parameter group before any schedule changed it. */
  readonly baseRates: readonly number[];
}

/** An optimizer whose learning rates can be set. */
export type ScheduledOptimizer = Pick<Optimizer, "paramGroups" | "setMomentum">;

/**
 * The base of schedules. A schedule sets the learning rate of each parameter group when it is made,
 * and again whenever `step()` is called: once after each step of the optimizer, or once an epoch.
 * The rate is a runtime scalar: no new plan is needed.
 */
export abstract class LearningRateSchedule {
  /** The optimizer whose learning rates are set. */
  readonly optimizer: ScheduledOptimizer;
  #lastStep = 0;
  #baseRates: readonly number[];

  /** @internal */
  constructor(optimizer: ScheduledOptimizer) {
    this.optimizer = optimizer;
    this.#baseRates = optimizer.paramGroups.map((group) => (group.initialLr ??= group.lr));
  }

  /** How many steps were done. */
  get lastStep(): number {
    return this.#lastStep;
  }

  /** The learning rate of each parameter group before any schedule changed it. */
  get baseRates(): readonly number[] {
    return this.#baseRates;
  }

  /** The learning rate after `step` steps of a group that started with `baseRate`. */
  abstract rateAt(step: number, baseRate: number): number;

  /** Sets the rates, and what else changes with them, for a number of steps done. */
  apply(step: number): void {
    this.optimizer.paramGroups.forEach((group, i) => {
      group.lr = this.rateAt(step, this.#baseRates[i] ?? (group.initialLr ??= group.lr));
    });
  }

  /** Goes on by one step and sets the learning rates for it. */
  step(): void {
    this.#lastStep++;
    this.apply(this.#lastStep);
  }

  /** The learning rate of each parameter group now. */
  currentRates(): number[] {
    return this.optimizer.paramGroups.map(({ lr }) => lr);
  }

  /** What has to be saved to go on later; it survives `JSON.stringify`. */
  stateDict(): ScheduleState {
    return { lastStep: this.#lastStep, baseRates: [...this.#baseRates] };
  }

  /**
   * Goes on from what `stateDict()` of a schedule of the same kind gave.
   *
   * @throws XError `checkpoint` if the state does not fit the schedule
   */
  loadStateDict(state: ScheduleState): void {
    const { lastStep, baseRates } = state;
    const groups = this.optimizer.paramGroups.length;
    if (!Number.isSafeInteger(lastStep) || lastStep < 0 || !areRates(baseRates, groups)) {
      throw new XError(
        "checkpoint",
        `${this.constructor.name}: the state must hold a number of steps and one rate for each of the ${groups} parameter groups, got ${JSON.stringify(state)}. Load what stateDict() gave.`,
      );
    }
    this.#lastStep = lastStep;
    this.#baseRates = [...baseRates];
    this.apply(lastStep);
  }
}

function areRates(rates: unknown, groups: number): boolean {
  const isRate = (rate: unknown): boolean => Number.isFinite(rate);
  return Array.isArray(rates) && rates.length === groups && rates.every(isRate);
}

/** A schedule whose rates follow from the number of steps done and the rate at first. */
export abstract class FormulaSchedule extends LearningRateSchedule {
  readonly #formula: (step: number, baseRate: number) => number;

  constructor(optimizer: ScheduledOptimizer, formula: (step: number, baseRate: number) => number) {
    super(optimizer);
    this.#formula = formula;
    this.apply(0);
  }

  /** The learning rate after `step` steps. */
  override rateAt(step: number, baseRate: number): number {
    return this.#formula(step, baseRate);
  }
}
