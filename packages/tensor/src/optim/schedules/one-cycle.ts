/** The one-cycle policy. */

import { check } from "../../error.js";
import { cosineBetween } from "./cosine.js";
import {
  checkFactor,
  checkSteps,
  LearningRateSchedule,
  type ScheduledOptimizer,
} from "./schedule.js";

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

/** A part of the cycle: the step it ends with, and which levels it leads from and to. */
interface Phase {
  readonly end: number;
  readonly rate: readonly [Level, Level];
  readonly momentum: readonly ["base" | "max", "base" | "max"];
}

type Level = "first" | "max" | "last";

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
  readonly #phases: readonly Phase[];
  readonly #maxRates: readonly number[];
  readonly #divFactor: number;
  readonly #finalDivFactor: number;
  readonly #momenta: Readonly<Record<"base" | "max", number>> | null;
  readonly #isLinear: boolean;

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
    for (const rate of maxRates) checkFactor("OneCycleLR", "maxLr", rate);
    checkSteps("OneCycleLR", "totalSteps", totalSteps);
    const factors = { divFactor, finalDivFactor, baseMomentum, maxMomentum };
    for (const [name, factor] of Object.entries(factors)) checkFactor("OneCycleLR", name, factor);
    check(
      pctStart >= 0 && pctStart <= 1,
      "argument",
      () => `OneCycleLR: pctStart must lie between 0 and 1, got ${pctStart}. Correct it.`,
    );
    check(
      ["cos", "linear"].includes(annealStrategy),
      "argument",
      () =>
        `OneCycleLR: annealStrategy must be "cos" or "linear", got "${annealStrategy}". Choose one of them.`,
    );
    this.#totalSteps = totalSteps;
    this.#maxRates = maxRates;
    this.#divFactor = divFactor;
    this.#finalDivFactor = finalDivFactor;
    this.#momenta =
      options.cycleMomentum === false ? null : { base: baseMomentum, max: maxMomentum };
    this.#isLinear = annealStrategy === "linear";
    this.#phases = phasesOf(totalSteps, pctStart, options.threePhase === true);
    this.apply(0);
  }

  /** The learning rate after `step` steps of a group whose largest rate is `maxRate`. */
  rateAt(step: number, maxRate: number): number {
    const first = maxRate / this.#divFactor;
    const levels = { first, max: maxRate, last: first / this.#finalDivFactor };
    const { phase, share } = this.#phaseAt(step);
    return this.#between(levels[phase.rate[0]], levels[phase.rate[1]], share);
  }

  /** Sets the rates and momenta for `step` steps. */
  override apply(step: number): void {
    check(
      step < this.#totalSteps,
      "argument",
      () =>
        `OneCycleLR: the cycle has ${this.#totalSteps} steps, got step ${step + 1}. Make it longer or stop calling step().`,
    );
    const { phase, share } = this.#phaseAt(step);
    const momenta = this.#momenta;
    this.optimizer.paramGroups.forEach((group, i) => {
      group.lr = this.rateAt(step, this.#maxRates[i]!);
      if (momenta === null) return;
      const [from, to] = phase.momentum;
      this.optimizer.setMomentum(group, this.#between(momenta[from], momenta[to], share));
    });
  }

  #between(from: number, to: number, share: number): number {
    return this.#isLinear ? from + (to - from) * share : cosineBetween(from, to, share);
  }

  /** The phase that a step belongs to, and which share of it is over. */
  #phaseAt(step: number): { phase: Phase; share: number } {
    let start = 0;
    for (const [i, phase] of this.#phases.entries()) {
      if (step <= phase.end || i === this.#phases.length - 1) {
        return { phase, share: (step - start) / (phase.end - start) };
      }
      start = phase.end;
    }
    return { phase: this.#phases.at(-1)!, share: 1 };
  }
}

function phasesOf(totalSteps: number, pctStart: number, threePhase: boolean): Phase[] {
  const rise: Phase = {
    end: pctStart * totalSteps - 1,
    rate: ["first", "max"],
    momentum: ["max", "base"],
  };
  if (!threePhase) {
    return [rise, { end: totalSteps - 1, rate: ["max", "last"], momentum: ["base", "max"] }];
  }
  return [
    rise,
    { end: 2 * pctStart * totalSteps - 2, rate: ["max", "first"], momentum: ["base", "max"] },
    { end: totalSteps - 1, rate: ["first", "last"], momentum: ["max", "max"] },
  ];
}
