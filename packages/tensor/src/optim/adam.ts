/** Adam and AdamW. */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import { checkNumbers, nonNegative } from "../tensor/arguments.js";
import { fromData } from "../tensor/creation.js";
import {
  Optimizer,
  type Batch,
  type OptimizerParameters,
  type ParameterGroup,
} from "./optimizer.js";
import { adamStep } from "./update-ops.js";

/** Options of `Adam` and `AdamW`; each may differ between parameter groups. */
export interface AdamOptions {
  /** The learning rate. Default 0.001. */
  lr: number;
  /** How much of the means of the gradient and of its square is kept. Default `[0.9, 0.999]`. */
  betas: readonly [number, number];
  /** Added to the root of the mean square. Default 1e-8. */
  eps: number;
  /** How strongly parameters are drawn to 0. Default 0, for AdamW 0.01. */
  weightDecay: number;
  /** Whether to divide by the largest mean square so far. Default false. */
  amsgrad: boolean;
  /** Whether to go up instead of down. Default false. */
  maximize: boolean;
}

/** Adam, with weight decay in one of two ways. */
abstract class AdamBase extends Optimizer<AdamOptions> {
  readonly #decoupled: boolean;

  constructor(
    name: string,
    parameters: OptimizerParameters<AdamOptions>,
    options: Partial<AdamOptions>,
    decoupled: boolean,
  ) {
    super(name, parameters, {
      lr: 1e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: decoupled ? 0.01 : 0,
      amsgrad: false,
      maximize: false,
      ...options,
    });
    this.#decoupled = decoupled;
  }

  /** Checks the options of a group. */
  protected override checkOptions(
    owner: string,
    { betas, eps, weightDecay }: AdamOptions & ParameterGroup,
  ): void {
    checkNumbers(owner, nonNegative, { eps, weightDecay });
    const fits =
      Array.isArray(betas) && betas.length === 2 && betas.every((beta) => beta >= 0 && beta < 1);
    check(
      fits,
      "argument",
      () =>
        `${owner}: betas must be two numbers of at least 0 and below 1, got [${String(betas)}]. Correct them.`,
    );
  }

  /** What is kept for every parameter. */
  protected override stateNames({ amsgrad }: AdamOptions & ParameterGroup): readonly string[] {
    const names = ["exp_avg", "exp_avg_sq"];
    return amsgrad ? [...names, "max_exp_avg_sq"] : names;
  }

  /** Gives the group another β₁, as some schedules do. */
  override setMomentum(group: AdamOptions & ParameterGroup, momentum: number): void {
    group.betas = [momentum, group.betas[1]];
  }

  /** Records the update of the parameters of a group. */
  protected override update(
    { group, step, device }: Batch<AdamOptions & ParameterGroup>,
    tensors: readonly Value[],
  ): readonly Value[] {
    const { lr, betas, eps, weightDecay, amsgrad, maximize } = group;
    const [beta1, beta2] = betas;
    const decoupled = this.#decoupled;
    const numbers = Float32Array.of(
      lr / (1 - beta1 ** step),
      Math.sqrt(1 - beta2 ** step),
      beta1,
      1 - beta1,
      beta2,
      1 - beta2,
      eps,
      decoupled ? 1 - lr * weightDecay : weightDecay,
    );
    const { value } = fromData(numbers, [numbers.length], { device });
    const decays = !decoupled && weightDecay !== 0;
    return adamStep(value, tensors, amsgrad, { maximize, decays, decoupled });
  }
}

/**
 * Adam: steps along the mean of the gradient g, divided by the root of the mean of its square. In
 * step t:
 *
 * ```text
 * g ← g + λ p
 * m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
 * p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
 * ```
 *
 * @example
 * ```ts
 * const weight = new Parameter(tensor([1, 2]));
 * const optimizer = new Adam([weight], { lr: 0.1 });
 * weight.square().sum().backward();
 * await optimizer.step();
 * console.log([...(await weight.data())].map((x) => x.toFixed(2))); // → [ '0.90', '1.90' ]
 * ```
 *
 * @see Kingma, Ba: Adam (2015); Reddi, Kale, Kumar: On the Convergence of Adam and Beyond (2018)
 */
export class Adam extends AdamBase {
  /**
   * @param parameters parameters, or groups of them with options of their own
   * @throws XError `argument` if there are no parameters or an option is out of range
   */
  constructor(parameters: OptimizerParameters<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super("Adam", parameters, options, false);
  }
}

/**
 * Adam with weight decay apart from the gradient: as `Adam` without λ in the gradient, after
 * `p ← (1 − lr · λ) p`.
 *
 * @example
 * ```ts
 * const model = new Linear(4, 1);
 * const optimizer = new AdamW([
 *   { params: [model.weight], weightDecay: 0.1 },
 *   { params: [model.bias!], weightDecay: 0 },
 * ], { lr: 3e-4 });
 * console.log(optimizer.paramGroups.map(({ weightDecay }) => weightDecay)); // → [ 0.1, 0 ]
 * ```
 *
 * @see Loshchilov, Hutter: Decoupled Weight Decay Regularization (2019)
 */
export class AdamW extends AdamBase {
  /**
   * @param parameters parameters, or groups of them with options of their own
   * @throws XError `argument` if there are no parameters or an option is out of range
   */
  constructor(parameters: OptimizerParameters<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super("AdamW", parameters, options, true);
  }
}
