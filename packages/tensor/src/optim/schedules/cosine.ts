/** Schedules along a cosine. */

import {
  checkFactor,
  checkSteps,
  LearningRateSchedule,
  type ScheduledOptimizer,
} from "./schedule.js";

/** From `high` at share 0 to `low` at share 1, along half a cosine. */
export function cosineBetween(high: number, low: number, share: number): number {
  return low + ((high - low) * (1 + Math.cos(Math.PI * share))) / 2;
}

/** Options of `CosineAnnealingLR`. */
export interface CosineOptions {
  /** After how many steps the rate is smallest. */
  readonly tMax: number;
  /** The smallest rate. Default 0. */
  readonly etaMin?: number;
}

/**
 * A learning rate that falls along a cosine to its smallest value after `tMax` steps, and then rises
 * again: `ηmin + (base − ηmin) (1 + cos(π t / tMax)) / 2`.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([new Parameter(ones([1]))], { lr: 1 });
 * const schedule = new CosineAnnealingLR(optimizer, { tMax: 2 });
 * schedule.step();
 * console.log(schedule.currentRates()[0]!.toFixed(3)); // → 0.500
 * ```
 *
 * @see Loshchilov, Hutter: SGDR (2017)
 */
export class CosineAnnealingLR extends LearningRateSchedule {
  readonly #tMax: number;
  readonly #etaMin: number;

  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, { tMax, etaMin = 0 }: CosineOptions) {
    super(optimizer);
    checkSteps("CosineAnnealingLR", "tMax", tMax);
    checkFactor("CosineAnnealingLR", "etaMin", etaMin);
    this.#tMax = tMax;
    this.#etaMin = etaMin;
    this.apply(0);
  }

  /** The learning rate after `step` steps. */
  rateAt(step: number, baseRate: number): number {
    return cosineBetween(baseRate, this.#etaMin, step / this.#tMax);
  }
}

/** Options of `CosineAnnealingWarmRestarts`. */
export interface WarmRestartsOptions {
  /** The length of the first period in steps. */
  readonly t0: number;
  /** By what each period is longer than the one before. Default 1. */
  readonly tMult?: number;
  /** The smallest rate. Default 0. */
  readonly etaMin?: number;
}

/**
 * A learning rate that falls along a cosine and jumps back to the top after each period:
 * `ηmin + (base − ηmin) (1 + cos(π t / T)) / 2`, t steps after the beginning of a period of T.
 *
 * @see Loshchilov, Hutter: SGDR (2017)
 */
export class CosineAnnealingWarmRestarts extends LearningRateSchedule {
  readonly #t0: number;
  readonly #tMult: number;
  readonly #etaMin: number;

  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, options: WarmRestartsOptions) {
    super(optimizer);
    const { t0, tMult = 1, etaMin = 0 } = options;
    checkSteps("CosineAnnealingWarmRestarts", "t0", t0);
    checkSteps("CosineAnnealingWarmRestarts", "tMult", tMult);
    checkFactor("CosineAnnealingWarmRestarts", "etaMin", etaMin);
    this.#t0 = t0;
    this.#tMult = tMult;
    this.#etaMin = etaMin;
    this.apply(0);
  }

  /** The learning rate after `step` steps. */
  rateAt(step: number, baseRate: number): number {
    let period = this.#t0;
    let place = step;
    if (this.#tMult === 1) place %= period;
    else {
      while (place >= period) {
        place -= period;
        period *= this.#tMult;
      }
    }
    return cosineBetween(baseRate, this.#etaMin, place / period);
  }
}
