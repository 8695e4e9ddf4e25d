/** Training with matrices rounded to float16: the rounding, and the scale of the loss. */

import type { Tensor } from "@x/tensor";
import { checkNumbers, count, positive } from "@x/tensor/checks";
import { Linear, type Module } from "@x/tensor/nn";

/**
 * Records something with the matrices of all `Linear` layers rounded to float16. The parameters stay
 * float32, and gradients go to them as if nothing had been rounded.
 */
export function withHalfWeights<T>(model: Module, record: () => T): T {
  const halves = new Map<Tensor, Tensor>();
  const layers = model.modules().filter((module) => module instanceof Linear);
  const weights = layers.map(({ weight }) => weight);
  // `weight` is read-only so that nobody replaces it for good, as is not done here.
  const put = (layer: Linear, weight: Tensor): void => {
    (layer as { weight: Tensor }).weight = weight;
  };
  try {
    layers.forEach((layer, i) => {
      const weight = weights[i]!;
      const half = halves.get(weight) ?? weight.cast("float16");
      halves.set(weight, half);
      put(layer, half);
    });
    return record();
  } finally {
    layers.forEach((layer, i) => {
      put(layer, weights[i]!);
    });
  }
}

/** What a {@link LossScale} remembers. */
export interface LossScaleState {
  /** What the loss is multiplied by. */
  readonly scale: number;
  /** How many steps in a row had finite gradients. */
  readonly good: number;
}

/** How the loss is scaled in mixed precision. */
export interface LossScaleOptions {
  /** The scale at first. Default 2¹⁶. */
  readonly initial?: number;
  /** What it is multiplied by after so many good steps. Default 2. */
  readonly growth?: number;
  /** What it is multiplied by after a step whose gradients overflowed. Default 0.5. */
  readonly backoff?: number;
  /** After how many good steps it grows. Default 2000. */
  readonly interval?: number;
}

/**
 * A factor of the loss that keeps small gradients from vanishing and is lowered when large ones
 * overflow; that step is left out.
 *
 * @see Micikevicius et al.: Mixed Precision Training (2018)
 */
export class LossScale {
  readonly #options: Required<LossScaleOptions>;
  #state: LossScaleState;

  /** @throws XError `argument` if an option is out of range */
  constructor(options: LossScaleOptions = {}) {
    const { initial = 2 ** 16, growth = 2, backoff = 0.5, interval = 2000 } = options;
    checkNumbers("LossScale", positive, { initial, growth, backoff });
    checkNumbers("LossScale", count, { interval });
    this.#options = { initial, growth, backoff, interval };
    this.#state = { scale: initial, good: 0 };
  }

  /** What the loss is multiplied by now. */
  get scale(): number {
    return this.#state.scale;
  }

  /** Says whether the gradients of a step were finite. */
  update(wasFinite: boolean): void {
    const { scale, good } = this.#state;
    const { growth, backoff, interval } = this.#options;
    if (!wasFinite) this.#state = { scale: scale * backoff, good: 0 };
    else if (good + 1 < interval) this.#state = { scale, good: good + 1 };
    else this.#state = { scale: Math.min(scale * growth, 2 ** 100), good: 0 };
  }

  /** What has to be saved. */
  stateDict(): LossScaleState {
    return this.#state;
  }

  /** Goes on from what `stateDict()` gave. */
  loadStateDict(state: LossScaleState): void {
    checkNumbers("LossScale", positive, { scale: state.scale });
    this.#state = { scale: state.scale, good: state.good };
  }
}
