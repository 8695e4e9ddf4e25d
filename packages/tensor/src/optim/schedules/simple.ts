/** Schedules that multiply the learning rate by a simple factor. */

import { check } from "../../error.js";
import { checkNumbers, count, nonNegative, wholeFrom } from "../../tensor/arguments.js";
import { FormulaSchedule, LearningRateSchedule, type ScheduledOptimizer } from "./schedule.js";

/**
 * Multiplies the learning rate by a factor that a function gives for the number of steps done.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([new Parameter(ones([1]))], { lr: 0.5 });
 * const schedule = new LambdaLR(optimizer, (step) => 1 / (1 + step));
 * schedule.step();
 * console.log(schedule.currentRates()); // → [ 0.25 ]
 * ```
 */
export class LambdaLR extends FormulaSchedule {
  /** @param factor the factor after a number of steps */
  constructor(optimizer: ScheduledOptimizer, factor: (step: number) => number) {
    super(optimizer, (step, baseRate) => baseRate * factor(step));
  }
}

/** Options of `ConstantLR`. */
export interface ConstantOptions {
  /** Multiplies the learning rate at first. Default 1/3. */
  readonly factor?: number;
  /** For how many steps. Default 5. */
  readonly totalIters?: number;
}

/** A reduced learning rate for some steps, then the whole one. */
export class ConstantLR extends FormulaSchedule {
  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, options: ConstantOptions = {}) {
    const { factor = 1 / 3, totalIters = 5 } = options;
    checkNumbers("ConstantLR", nonNegative, { factor });
    checkNumbers("ConstantLR", wholeFrom(0), { totalIters });
    super(optimizer, (step, baseRate) => (step < totalIters ? baseRate * factor : baseRate));
  }
}

/** Options of `LinearLR`. */
export interface LinearOptions {
  /** Multiplies the learning rate at first. Default 1/3. */
  readonly startFactor?: number;
  /** Multiplies it in the end. Default 1. */
  readonly endFactor?: number;
  /** Over how many steps the factor changes. Default 5. */
  readonly totalIters?: number;
}

/**
 * A factor that changes linearly, for a warm-up or a decay: after t of T steps it is
 * `start + (end − start) · min(t / T, 1)`.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([new Parameter(ones([1]))], { lr: 1 });
 * const schedule = new LinearLR(optimizer, { startFactor: 0.5, totalIters: 2 });
 * const rates = [0, 1, 2, 3].map(() => {
 *   const [rate] = schedule.currentRates();
 *   schedule.step();
 *   return rate;
 * });
 * console.log(rates); // → [ 0.5, 0.75, 1, 1 ]
 * ```
 */
export class LinearLR extends FormulaSchedule {
  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, options: LinearOptions = {}) {
    const { startFactor = 1 / 3, endFactor = 1, totalIters = 5 } = options;
    checkNumbers("LinearLR", nonNegative, { startFactor, endFactor });
    checkNumbers("LinearLR", count, { totalIters });
    super(optimizer, (step, baseRate) => {
      const share = Math.min(step / totalIters, 1);
      return baseRate * (startFactor + (endFactor - startFactor) * share);
    });
  }
}

/** Options of `StepLR`. */
export interface StepOptions {
  /** After how many steps the rate changes. */
  readonly stepSize: number;
  /** By what it is multiplied then. Default 0.1. */
  readonly gamma?: number;
}

/** A learning rate that falls every `stepSize` steps: `base · γ^⌊t / stepSize⌋`. */
export class StepLR extends FormulaSchedule {
  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, { stepSize, gamma = 0.1 }: StepOptions) {
    checkNumbers("StepLR", count, { stepSize });
    checkNumbers("StepLR", nonNegative, { gamma });
    super(optimizer, (step, baseRate) => baseRate * gamma ** Math.floor(step / stepSize));
  }
}

/** Options of `MultiStepLR`. */
export interface MultiStepOptions {
  /** After which numbers of steps the rate changes. */
  readonly milestones: readonly number[];
  /** By what it is multiplied then. Default 0.1. */
  readonly gamma?: number;
}

/** A learning rate that falls at given steps, each time by the factor γ. */
export class MultiStepLR extends FormulaSchedule {
  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, { milestones, gamma = 0.1 }: MultiStepOptions) {
    checkNumbers("MultiStepLR", wholeFrom(0), { milestones });
    checkNumbers("MultiStepLR", nonNegative, { gamma });
    const own = [...milestones];
    super(
      optimizer,
      (step, baseRate) => baseRate * gamma ** own.filter((milestone) => milestone <= step).length,
    );
  }
}

/** Options of `ExponentialLR`. */
export interface ExponentialOptions {
  /** By what the rate is multiplied in every step. */
  readonly gamma: number;
}

/** A learning rate that falls in every step: `base · γᵗ`. */
export class ExponentialLR extends FormulaSchedule {
  /** @throws XError `argument` if the factor is out of range */
  constructor(optimizer: ScheduledOptimizer, { gamma }: ExponentialOptions) {
    checkNumbers("ExponentialLR", nonNegative, { gamma });
    super(optimizer, (step, baseRate) => baseRate * gamma ** step);
  }
}

/** Options of `PolynomialLR`. */
export interface PolynomialOptions {
  /** Over how many steps the rate falls to 0. Default 5. */
  readonly totalIters?: number;
  /** The exponent. Default 1. */
  readonly power?: number;
}

/** A learning rate that falls to 0 along a power: `base · (1 − min(t / T, 1))^power`. */
export class PolynomialLR extends FormulaSchedule {
  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, options: PolynomialOptions = {}) {
    const { totalIters = 5, power = 1 } = options;
    checkNumbers("PolynomialLR", count, { totalIters });
    checkNumbers("PolynomialLR", nonNegative, { power });
    super(optimizer, (step, baseRate) => baseRate * (1 - Math.min(step / totalIters, 1)) ** power);
  }
}

/** Options of `SequentialLR`. */
export interface SequentialOptions {
  /** After which numbers of steps the next schedule takes over: one less than there are schedules. */
  readonly milestones: readonly number[];
}

/**
 * One schedule after the other, each counting from 0 when it takes over. Only this schedule's
 * `step()` is called.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([new Parameter(ones([1]))], { lr: 1 });
 * const schedule = new SequentialLR(
 *   optimizer,
 *   [new LinearLR(optimizer, { startFactor: 0.5, totalIters: 2 }), new ExponentialLR(optimizer, { gamma: 0.5 })],
 *   { milestones: [2] },
 * );
 * const rates = [0, 1, 2, 3].map(() => {
 *   const [rate] = schedule.currentRates();
 *   schedule.step();
 *   return rate;
 * });
 * console.log(rates); // → [ 0.5, 0.75, 1, 0.5 ]
 * ```
 */
export class SequentialLR extends LearningRateSchedule {
  readonly #schedules: readonly LearningRateSchedule[];
  readonly #milestones: readonly number[];

  /** @throws XError `argument` if the milestones do not fit the schedules */
  constructor(
    optimizer: ScheduledOptimizer,
    schedules: readonly LearningRateSchedule[],
    { milestones }: SequentialOptions,
  ) {
    super(optimizer);
    const isOrdered = milestones.every((milestone, i) => milestone > (milestones[i - 1] ?? 0));
    check(
      milestones.length === schedules.length - 1 && isOrdered,
      "argument",
      () =>
        `SequentialLR: there must be one milestone less than schedules, in order, got [${milestones.join(", ")}] for ${schedules.length} schedules. Correct them.`,
    );
    check(
      schedules.every((schedule) => schedule.optimizer === optimizer),
      "argument",
      () =>
        "SequentialLR: all schedules must be of one optimizer, got one of another. Make them for this optimizer.",
    );
    checkNumbers("SequentialLR", count, { milestones });
    this.#schedules = [...schedules];
    this.#milestones = [...milestones];
    this.apply(0);
  }

  /** The learning rate after `step` steps. */
  rateAt(step: number, baseRate: number): number {
    const [schedule, own] = this.#at(step);
    return schedule.rateAt(own, baseRate);
  }

  /** Sets the rates by the schedule that rules after `step` steps. */
  override apply(step: number): void {
    const [schedule, own] = this.#at(step);
    schedule.apply(own);
  }

  /** The schedule that rules after `step` steps, and how many of them are its own. */
  #at(step: number): [LearningRateSchedule, number] {
    const passed = this.#milestones.filter((milestone) => milestone <= step);
    return [this.#schedules[passed.length]!, step - (passed.at(-1) ?? 0)];
  }
}
