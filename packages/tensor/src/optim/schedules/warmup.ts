/** Schedules that begin with a warm-up from 0, as they are usual for transformers. */

import { check } from "../../error.js";
import { checkNumbers, count, nonNegative, wholeFrom } from "../../tensor/arguments.js";
import { cosineBetween } from "./cosine.js";
import { FormulaSchedule, type ScheduledOptimizer } from "./schedule.js";

/** Options of schedules with a warm-up and an end. */
export interface WarmupOptions {
  /** Over how many steps the rate rises from 0. */
  readonly warmupSteps: number;
  /** After how many steps, the warm-up included, the rate has fallen to its end. */
  readonly totalSteps: number;
  /** What the rate is multiplied by in the end. Default 0. */
  readonly endFactor?: number;
}

/** A linear rise from 0 over the warm-up, then a fall. */
abstract class WarmupSchedule extends FormulaSchedule {
  /** @param fall from 1 at share 0 to `end` at share 1 */
  constructor(
    owner: string,
    optimizer: ScheduledOptimizer,
    options: WarmupOptions,
    fall: (end: number, share: number) => number,
  ) {
    const { warmupSteps, totalSteps, endFactor = 0 } = options;
    checkNumbers(owner, wholeFrom(0), { warmupSteps });
    checkNumbers(owner, count, { totalSteps });
    checkNumbers(owner, nonNegative, { endFactor });
    check(
      warmupSteps < totalSteps,
      "argument",
      () =>
        `${owner}: the warm-up must be shorter than the whole, got ${warmupSteps} of ${totalSteps} steps. Correct them.`,
    );
    const length = totalSteps - warmupSteps;
    super(optimizer, (step, baseRate) =>
      step < warmupSteps
        ? (baseRate * step) / warmupSteps
        : baseRate * fall(endFactor, Math.min((step - warmupSteps) / length, 1)),
    );
  }
}

/** A linear rise from 0, then a linear fall. */
export class WarmupLinearLR extends WarmupSchedule {
  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, options: WarmupOptions) {
    super("WarmupLinearLR", optimizer, options, (end, share) => 1 - (1 - end) * share);
  }
}

/**
 * A linear rise from 0, then a fall along half a cosine.
 *
 * @example
 * ```ts
 * const optimizer = new AdamW([new Parameter(ones([1]))], { lr: 1 });
 * const schedule = new WarmupCosineLR(optimizer, { warmupSteps: 2, totalSteps: 6 });
 * const rates = [0, 1, 2, 3, 4, 5, 6].map(() => {
 *   const [rate] = schedule.currentRates();
 *   schedule.step();
 *   return rate!.toFixed(2);
 * });
 * console.log(rates.join(" ")); // → 0.00 0.50 1.00 0.85 0.50 0.15 0.00
 * ```
 */
export class WarmupCosineLR extends WarmupSchedule {
  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, options: WarmupOptions) {
    super("WarmupCosineLR", optimizer, options, (end, share) => cosineBetween(1, end, share));
  }
}

/** Options of `WarmupConstantLR`. */
export interface WarmupConstantOptions {
  /** Over how many steps the rate rises from 0. */
  readonly warmupSteps: number;
}

/** A linear rise from 0, then the whole learning rate. */
export class WarmupConstantLR extends FormulaSchedule {
  /** @throws XError `argument` if the number of steps is out of range */
  constructor(optimizer: ScheduledOptimizer, { warmupSteps }: WarmupConstantOptions) {
    checkNumbers("WarmupConstantLR", wholeFrom(0), { warmupSteps });
    super(optimizer, (step, baseRate) =>
      step < warmupSteps ? (baseRate * step) / warmupSteps : baseRate,
    );
  }
}
