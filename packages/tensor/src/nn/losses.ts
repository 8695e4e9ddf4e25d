/** Losses as modules; as functions they are in `@x/tensor`. */

import {
  batchReductions,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  checkLossOptions,
  crossEntropy,
  huberLoss,
  klDiv,
  l1Loss,
  mseLoss,
  nllLoss,
  smoothL1Loss,
  type BinaryCrossEntropyOptions,
  type CrossEntropyOptions,
  type KlDivOptions,
  type LossOptions,
  type NllLossOptions,
} from "../tensor/losses.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";

/** What the modules of losses have in common: a loss of an input and a target. */
abstract class Loss<Options extends object> extends Module {
  /** What the loss was made with. */
  readonly options: Options;
  private readonly loss: (input: Tensor, target: Tensor, options: Options) => Tensor;

  /** @throws XError `argument` if an option is out of its range */
  constructor(
    owner: string,
    loss: (input: Tensor, target: Tensor, options: Options) => Tensor,
    options: Options,
    reductions?: readonly string[],
  ) {
    super();
    checkLossOptions(owner, options, reductions);
    this.options = options;
    this.loss = loss;
  }

  /** The loss of an input for a target. */
  forward(input: Tensor, target: Tensor): Tensor {
    return this.loss(input, target, this.options);
  }
}

/**
 * Cross entropy of logits `[rows, classes, …]` for class numbers or probabilities; see the function
 * `crossEntropy`.
 *
 * @example
 * ```ts
 * const loss = new CrossEntropyLoss({ labelSmoothing: 0.1 });
 * const target = tensor([0], { dtype: "int32" });
 * console.log((await loss.forward(tensor([[0, 0]]), target).item()).toFixed(4)); // → 0.6931
 * ```
 */
export class CrossEntropyLoss extends Loss<CrossEntropyOptions> {
  /** @param options as for `crossEntropy` */
  constructor(options: CrossEntropyOptions = {}) {
    super("CrossEntropyLoss", crossEntropy, options);
  }
}

/** Negative log-likelihood of log-probabilities `[rows, classes, …]`; see the function `nllLoss`. */
export class NLLLoss extends Loss<NllLossOptions> {
  /** @param options as for `nllLoss` */
  constructor(options: NllLossOptions = {}) {
    super("NLLLoss", nllLoss, options);
  }
}

/** Squared differences, `(x − y)²`. */
export class MSELoss extends Loss<LossOptions> {
  /** @param options how the elements are joined */
  constructor(options: LossOptions = {}) {
    super("MSELoss", mseLoss, options);
  }
}

/** Absolute differences, `|x − y|`. */
export class L1Loss extends Loss<LossOptions> {
  /** @param options how the elements are joined */
  constructor(options: LossOptions = {}) {
    super("L1Loss", l1Loss, options);
  }
}

/** Options of `SmoothL1Loss`. */
export interface SmoothL1LossOptions extends LossOptions {
  /** Where the quadratic part ends. Default 1. */
  readonly beta?: number;
}

/** Quadratic below `beta`, linear beyond; see the function `smoothL1Loss`. */
export class SmoothL1Loss extends Loss<SmoothL1LossOptions> {
  /** @param options as for `smoothL1Loss` */
  constructor(options: SmoothL1LossOptions = {}) {
    super("SmoothL1Loss", smoothL1Loss, options);
  }
}

/** Options of `HuberLoss`. */
export interface HuberLossOptions extends LossOptions {
  /** Where the quadratic part ends. Default 1. */
  readonly delta?: number;
}

/** Quadratic up to `delta`, linear beyond; see the function `huberLoss`. */
export class HuberLoss extends Loss<HuberLossOptions> {
  /** @param options as for `huberLoss` */
  constructor(options: HuberLossOptions = {}) {
    super("HuberLoss", huberLoss, options);
  }
}

/** Options of `BCELoss`. */
export interface BCELossOptions extends LossOptions {
  /** Multiplies the losses; broadcasts. */
  readonly weight?: Tensor | null;
}

/** Binary cross entropy of probabilities; see the function `binaryCrossEntropy`. */
export class BCELoss extends Loss<BCELossOptions> {
  /** @param options as for `binaryCrossEntropy` */
  constructor(options: BCELossOptions = {}) {
    super("BCELoss", binaryCrossEntropy, options);
  }
}

/** Binary cross entropy of logits, without overflow; see `binaryCrossEntropyWithLogits`. */
export class BCEWithLogitsLoss extends Loss<BinaryCrossEntropyOptions> {
  /** @param options as for `binaryCrossEntropyWithLogits` */
  constructor(options: BinaryCrossEntropyOptions = {}) {
    super("BCEWithLogitsLoss", binaryCrossEntropyWithLogits, options);
  }
}

/** Divergence of probabilities from log-probabilities; see the function `klDiv`. */
export class KLDivLoss extends Loss<KlDivOptions> {
  /** @param options as for `klDiv` */
  constructor(options: KlDivOptions = {}) {
    super("KLDivLoss", klDiv, options, batchReductions);
  }
}
