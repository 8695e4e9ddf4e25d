/** Stochastic gradient descent. */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import { checkNumbers, finite, nonNegative } from "../tensor/arguments.js";
import { fromData } from "../tensor/creation.js";
import {
  Optimizer,
  type Batch,
  type OptimizerParameters,
  type ParameterGroup,
} from "./optimizer.js";
import { sgdStep } from "./update-ops.js";

/** Options of `SGD`; each may differ between parameter groups. */
export interface SGDOptions {
  /** The learning rate. Default 0.001. */
  lr: number;
  /** How much of the last direction is kept. Default 0. */
  momentum: number;
  /** How much less of the gradient goes into the momentum. Default 0. */
  dampening: number;
  /** λ of the penalty λ/2 · ‖p‖² that is added to the loss. Default 0. */
  weightDecay: number;
  /** Whether the gradient is looked at after the step that the momentum will do. Default false. */
  nesterov: boolean;
  /** Whether to go up instead of down. Default false. */
  maximize: boolean;
}

/**
 * Stochastic gradient descent, with momentum where asked for. With gradient g, momentum μ and
 * dampening τ:
 *
 * ```text
 * g ← g + λ p
 * b ← μ b + (1 − τ) g        (b = g in the first step)
 * p ← p − lr · b             (nesterov: p − lr · (g + μ b))
 * ```
 *
 * @example
 * ```ts
 * const weight = new Parameter(tensor([1, 2]));
 * const optimizer = new SGD([weight], { lr: 0.1, momentum: 0.9 });
 * for (let i = 0; i < 2; i++) {
 *   optimizer.zeroGrad();
 *   weight.square().sum().backward();
 *   await optimizer.step();
 * }
 * console.log([...(await weight.data())].map((x) => x.toFixed(2))); // → [ '0.46', '0.92' ]
 * ```
 */
export class SGD extends Optimizer<SGDOptions> {
  /**
   * @param parameters parameters, or groups of them with options of their own
   * @throws XError `argument` if there are no parameters or an option is out of range
   */
  constructor(parameters: OptimizerParameters<SGDOptions>, options: Partial<SGDOptions> = {}) {
    super("SGD", parameters, {
      lr: 1e-3,
      momentum: 0,
      dampening: 0,
      weightDecay: 0,
      nesterov: false,
      maximize: false,
      ...options,
    });
  }

  /** Checks the options of a group. */
  protected override checkOptions(owner: string, group: SGDOptions & ParameterGroup): void {
    const { momentum, dampening, weightDecay, nesterov } = group;
    checkNumbers(owner, nonNegative, { momentum, weightDecay });
    checkNumbers(owner, finite, { dampening });
    check(
      !nesterov || (momentum > 0 && dampening === 0),
      "argument",
      () =>
        `${owner}: nesterov needs momentum and no dampening, got momentum ${momentum} and dampening ${dampening}. Correct them.`,
    );
  }

  /** What is kept for every parameter. */
  protected override stateNames({ momentum }: SGDOptions & ParameterGroup): readonly string[] {
    return momentum === 0 ? [] : ["momentum_buffer"];
  }

  /** Gives the group another momentum, as some schedules do. */
  override setMomentum(group: SGDOptions & ParameterGroup, momentum: number): void {
    group.momentum = momentum;
  }

  /** Records the update of the parameters of a group. */
  protected override update(
    { group, step, device }: Batch<SGDOptions & ParameterGroup>,
    tensors: readonly Value[],
  ): readonly Value[] {
    const { lr, weightDecay, momentum, dampening, maximize, nesterov } = group;
    const hasMomentum = momentum !== 0;
    const numbers = hasMomentum
      ? [lr, weightDecay, momentum, step === 1 ? 1 : 1 - dampening]
      : [lr, weightDecay];
    const { value } = fromData(Float32Array.from(numbers), [numbers.length], { device });
    const decays = weightDecay !== 0;
    return sgdStep(value, tensors, hasMomentum, { maximize, decays, nesterov });
  }
}
