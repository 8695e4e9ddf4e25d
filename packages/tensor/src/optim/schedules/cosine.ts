/** Schedules along a cosine. */

import { checkNumbers, count, nonNegative } from "../../tensor/arguments.js";
import { FormulaSchedule, type ScheduledOptimizer } from "./schedule.js";

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
export class CosineAnnealingLR extends FormulaSchedule {
  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, { tMax, etaMin = 0 }: CosineOptions) {
    checkNumbers("CosineAnnealingLR", count, { tMax });
    checkNumbers("CosineAnnealingLR", nonNegative, { etaMin });
    super(optimizer, (step, baseRate) => cosineBetween(baseRate, etaMin, step / tMax));
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
export class CosineAnnealingWarmRestarts extends FormulaSchedule {
  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, options: WarmRestartsOptions) {
    const { t0, tMult = 1, etaMin = 0 } = options;
    checkNumbers("CosineAnnealingWarmRestarts", count, { t0, tMult });
    checkNumbers("CosineAnnealingWarmRestarts", nonNegative, { etaMin });
    super(optimizer, (step, baseRate) => {
      let period = t0;
      let place = step;
      if (tMult === 1) place %= period;
      else {
        while (place >= period) {
          place -= period;
          period *= tMult;
        }
      }
      return cosineBetween(baseRate, etaMin, place / period);
    });
  }
}
