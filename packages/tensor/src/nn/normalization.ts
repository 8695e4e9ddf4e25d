/** Normalization of trailing axes. */

import { check } from "../error.js";
import { checkNumbers, count, nonNegative } from "../tensor/arguments.js";
import { ones, zeros } from "../tensor/creation.js";
import { layerNorm, rmsNorm } from "../tensor/normalization.js";
import type { Shape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";
import { Parameter } from "./parameter.js";

function checkedShape(owner: string, shape: number | Shape): Shape {
  const sizes = typeof shape === "number" ? [shape] : [...shape];
  check(
    sizes.length > 0,
    "argument",
    () => `${owner}: normalizedShape must name at least one axis, got none. Pass the last sizes.`,
  );
  checkNumbers(owner, count, { normalizedShape: sizes });
  return sizes;
}

/** Options of the module `LayerNorm`. */
export interface LayerNormModuleOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
  /** Whether there are a weight and a bias. Default true. */
  readonly elementwiseAffine?: boolean;
  /** Whether there is a bias beside the weight. Default true. */
  readonly bias?: boolean;
}

/**
 * Layer normalization over the last axes: `y = (x − mean) / √(variance + eps) · weight + bias`, the
 * variance divided by n.
 *
 * @example
 * ```ts
 * const norm = new LayerNorm(4);
 * const y = norm.forward(tensor([[1, 2, 3, 4]]));
 * console.log((await y.square().mean().item()).toFixed(3)); // → 1.000
 * ```
 *
 * @see Ba, Kiros, Hinton: Layer Normalization (2016)
 */
export class LayerNorm extends Module {
  /** The sizes of the normalised axes. */
  readonly normalizedShape: Shape;
  /** Added to the variance. */
  readonly eps: number;
  /** Of the normalised shape, starting as ones; `null` without `elementwiseAffine`. */
  readonly weight: Parameter | null;
  /** Of the normalised shape, starting as zeros; `null` without a bias. */
  readonly bias: Parameter | null;

  /** @throws XError `argument` if a size is not a whole number of at least 1 */
  constructor(normalizedShape: number | Shape, options: LayerNormModuleOptions = {}) {
    super();
    const { eps = 1e-5, elementwiseAffine = true, bias = true } = options;
    this.normalizedShape = checkedShape("LayerNorm", normalizedShape);
    checkNumbers("LayerNorm", nonNegative, { eps });
    this.eps = eps;
    this.weight = elementwiseAffine ? new Parameter(ones(this.normalizedShape)) : null;
    this.bias = elementwiseAffine && bias ? new Parameter(zeros(this.normalizedShape)) : null;
  }

  /** `x` of any shape that ends in the normalised one. */
  forward(x: Tensor): Tensor {
    const { weight, bias, eps } = this;
    return layerNorm(x, this.normalizedShape, { weight, bias, eps });
  }
}

/** Options of the module `RMSNorm`. */
export interface RMSNormModuleOptions {
  /** Added to the mean square. Default 2⁻²³, the distance of float32 numbers at 1. */
  readonly eps?: number;
  /** Whether there is a weight. Default true. */
  readonly elementwiseAffine?: boolean;
}

/**
 * Root mean square normalization over the last axes: `y = x / √(mean(x²) + eps) · weight`.
 *
 * @see Zhang, Sennrich: Root Mean Square Layer Normalization (2019)
 */
export class RMSNorm extends Module {
  /** The sizes of the normalised axes. */
  readonly normalizedShape: Shape;
  /** Added to the mean square. */
  readonly eps: number;
  /** Of the normalised shape, starting as ones; `null` without `elementwiseAffine`. */
  readonly weight: Parameter | null;

  /** @throws XError `argument` if a size is not a whole number of at least 1 */
  constructor(normalizedShape: number | Shape, options: RMSNormModuleOptions = {}) {
    super();
    const { eps = 2 ** -23, elementwiseAffine = true } = options;
    this.normalizedShape = checkedShape("RMSNorm", normalizedShape);
    checkNumbers("RMSNorm", nonNegative, { eps });
    this.eps = eps;
    this.weight = elementwiseAffine ? new Parameter(ones(this.normalizedShape)) : null;
  }

  /** `x` of any shape that ends in the normalised one. */
  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.normalizedShape, { weight: this.weight, eps: this.eps });
  }
}
