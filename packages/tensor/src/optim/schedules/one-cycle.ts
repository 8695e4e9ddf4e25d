/** The one-cycle policy. */

import { check } from "../../error.js";
import {
  checkChoice,
  checkNumbers,
  count,
  nonNegative,
  positive,
  probability,
} from "../../tensor/arguments.js";
import { cosineBetween } from "./cosine.js";
import { LearningRateSchedule, type ScheduledOptimizer } from "./schedule.js";

/** Options of `OneCycleLR`. */
export interface OneCycleOptions {
  /** The largest rate, for all parameter groups or for each. */
  readonly maxLr: number | readonly number[];
  /** How many steps the cycle has. */
  readonly totalSteps: number;
  /** Which share of the steps the rate rises. Default 0.3. */
  readonly pctStart?: number;
  /** Along what the rate changes. Default `"cos"`. */
  readonly annealStrategy?: "cos" | "linear";
  /** Whether the momentum (for Adam: β₁) changes the other way round. Default true. */
  readonly cycleMomentum?: boolean;
  /** The smallest momentum. Default 0.85. */
  readonly baseMomentum?: number;
  /** The largest momentum. Default 0.95. */
  readonly maxMomentum?: number;
  /** The first rate is `maxLr / divFactor`. Default 25. */
  readonly divFactor?: number;
  /** The last rate is the first divided by this. Default 10000. */
  readonly finalDivFactor?: number;
  /** Whether the rate falls to the first rate as fast as it rose, and then on. Default false. */
  readonly threePhase?: boolean;
}

/** A part of the cycle: the step it ends with, and the rates and momenta it leads from and to. */
type Phase = readonly [end: number, from: Level, to: Level, before: Level, after: Level];

type Level = "first" | "highest" | "last" | "baseMomentum" | "maxMomentum";

/**
 * A learning rate that rises from a low value to a high one and falls to a very low one, over
 * exactly `totalSteps` steps, while the momentum falls and rises.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([new Parameter(ones([1]))], { lr: 1, momentum: 0.9 });
 * const schedule = new OneCycleLR(optimizer, { maxLr: 1, totalSteps: 11, divFactor: 4 });
 * console.log(schedule.currentRates(), optimizer.paramGroups[0]!.momentum); // → [ 0.25 ] 0.95
 * ```
 *
 * @see Smith, Topin: Super-Convergence (2018)
 */
export class OneCycleLR extends LearningRateSchedule {
  readonly #totalSteps: number;
  readonly #maxRates: readonly number[];
  readonly #at: (
    step: number,
    maxRate: number,
  ) => { readonly rate: number; readonly momentum: number };
  readonly #cycleMomentum: boolean;

  /** @throws XError `argument` if an option is out of range */
  constructor(optimizer: ScheduledOptimizer, options: OneCycleOptions) {
    super(optimizer);
    const { maxLr, totalSteps, pctStart = 0.3, divFactor = 25, finalDivFactor = 1e4 } = options;
    const { annealStrategy = "cos", baseMomentum = 0.85, maxMomentum = 0.95 } = options;
    const groups = optimizer.paramGroups.length;
    const maxRates = typeof maxLr === "number" ? new Array<number>(groups).fill(maxLr) : [...maxLr];
    check(
      maxRates.length === groups,
      "argument",
      () =>
        `OneCycleLR: maxLr must be one number or one for each of the ${groups} parameter groups, got ${maxRates.length}. Correct it.`,
    );
    checkNumbers("OneCycleLR", nonNegative, { maxLr: maxRates });
    checkNumbers("OneCycleLR", count, { totalSteps });
    checkNumbers("OneCycleLR", nonNegative, { baseMomentum, maxMomentum });
    checkNumbers("OneCycleLR", positive, { divFactor, finalDivFactor });
    checkNumbers("OneCycleLR", probability, { pctStart });
    checkChoice("OneCycleLR", "annealStrategy", annealStrategy, ["cos", "linear"]);
    const phases = phasesOf(totalSteps, pctStart, options.threePhase === true);
    this.#totalSteps = totalSteps;
    this.#maxRates = maxRates;
    this.#cycleMomentum = options.cycleMomentum !== false;
    this.#at = (step, highest) => {
      const first = highest / divFactor;
      const last = first / finalDivFactor;
      const levels = { first, highest, last, baseMomentum, maxMomentum };
      const found = phases.findIndex(([end]) => step <= end);
      const place = found < 0 ? phases.length - 1 : found;
      const [end, from, to, before, after] = phases[place]!;
      const start = phases[place - 1]?.[0] ?? 0;
      const share = end === start ? 1 : (step - start) / (end - start);
      const between = (low: Level, high: Level): number =>
        annealStrategy === "linear"
          ? levels[low] + (levels[high] - levels[low]) * share
          : cosineBetween(levels[low], levels[high], share);
      return { rate: between(from, to), momentum: between(before, after) };
    };
    this.apply(0);
  }

  /** The learning rate after `step` steps of a group whose largest rate is `maxRate`. */
  rateAt(step: number, maxRate: number): number {
    return this.#at(step, maxRate).rate;
  }

  /** Sets the rates and momenta for `step` steps. */
  override apply(step: number): void {
    check(
      step < this.#totalSteps,
      "argument",
      () =>
        `OneCycleLR: the cycle has ${this.#totalSteps} steps, got step ${step + 1}. Make it longer or stop calling step().`,
    );
    this.optimizer.paramGroups.forEach((group, i) => {
      const { rate, momentum } = this.#at(step, this.#maxRates[i]!);
      group.lr = rate;
      if (this.#cycleMomentum) this.optimizer.setMomentum(group, momentum);
    });
  }
}

function phasesOf(totalSteps: number, pctStart: number, threePhase: boolean): Phase[] {
  const top = pctStart * totalSteps - 1;
  const end = totalSteps - 1;
  const rise: Phase = [top, "first", "highest", "maxMomentum", "baseMomentum"];
  if (!threePhase) return [rise, [end, "highest", "last", "baseMomentum", "maxMomentum"]];
  return [
    rise,
    [2 * top, "highest", "first", "baseMomentum", "maxMomentum"],
    [end, "first", "last", "maxMomentum", "maxMomentum"],
  ];
}
