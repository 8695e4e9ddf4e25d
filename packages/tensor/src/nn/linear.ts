/** Affine maps of the last axis. */

import { uniform } from "../random/index.js";
import { checkNumbers, count } from "../tensor/arguments.js";
import { linear } from "../tensor/embedding.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkLastAxis } from "./checks.js";
import { Module } from "./module.js";
import { Parameter } from "./parameter.js";

/** Options of `Linear`. */
export interface LinearOptions {
  /** Whether a bias is added. Default true. */
  readonly bias?: boolean;
}

/**
 * Affine map of the last axis: `y = x Wᵀ + b` with `W` of shape `[out, in]`.
 *
 * Weight and bias start evenly distributed in `±1/√in`, as in PyTorch.
 *
 * @example
 * ```ts
 * const layer = new Linear(512, 256);
 * console.log(layer.forward(ones([8, 16, 512])).shape); // → [ 8, 16, 256 ]
 * ```
 */
export class Linear extends Module {
  /** Size of the last axis of the input. */
  readonly inFeatures: number;
  /** Size of the last axis of the output. */
  readonly outFeatures: number;
  /** `[out, in]` */
  readonly weight: Parameter;
  /** `[out]`, or `null` without a bias. */
  readonly bias: Parameter | null;

  /** @throws XError `argument` if a size is not a whole number of at least 1 */
  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    checkNumbers("Linear", count, { inFeatures, outFeatures });
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    const bound = 1 / Math.sqrt(inFeatures);
    this.weight = new Parameter(uniform(-bound, bound, [outFeatures, inFeatures]));
    this.bias =
      options.bias === false ? null : new Parameter(uniform(-bound, bound, [outFeatures]));
  }

  /** From `[..., in]` to `[..., out]`. */
  forward(x: Tensor): Tensor {
    checkLastAxis("Linear", "input", x, this.inFeatures);
    return linear(x, this.weight, this.bias);
  }
}
