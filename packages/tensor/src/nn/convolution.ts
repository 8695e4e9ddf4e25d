/** Convolutions as modules. */

import { check } from "../error.js";
import { uniform } from "../random/index.js";
import { checkChoice, checkNumbers, count } from "../tensor/arguments.js";
import { conv1d, conv2d, perAxis, type PerAxis } from "../tensor/convolution.js";
import { formatShape, sizeOf } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";
import { Parameter } from "./parameter.js";

/** Options of the modules `Conv1d` and `Conv2d`. */
export interface ConvolutionModuleOptions {
  /** How far the kernel moves. Default 1. */
  readonly stride?: PerAxis;
  /** Zeros at both ends; `"valid"` for none, `"same"` to keep the size. Default 0. */
  readonly padding?: PerAxis | "valid" | "same";
  /** Distance of the input elements under the kernel. Default 1. */
  readonly dilation?: PerAxis;
  /** Into how many groups that do not see each other the channels are split. Default 1. */
  readonly groups?: number;
  /** Whether a bias is added. Default true. */
  readonly bias?: boolean;
}

/** What the convolutions have in common. */
abstract class Convolution extends Module {
  /** Channels of the input. */
  readonly inChannels: number;
  /** Channels of the output. */
  readonly outChannels: number;
  /** Size of the kernel along each axis. */
  readonly kernelSize: readonly number[];
  /** How far the kernel moves. */
  readonly stride: PerAxis;
  /** Zeros at both ends. */
  readonly padding: PerAxis | "valid" | "same";
  /** Distance of the input elements under the kernel. */
  readonly dilation: PerAxis;
  /** Into how many groups the channels are split. */
  readonly groups: number;
  /** `[out, in / groups, …kernel]` */
  readonly weight: Parameter;
  /** `[out]`, or `null` without a bias. */
  readonly bias: Parameter | null;

  constructor(
    axes: number,
    inChannels: number,
    outChannels: number,
    kernelSize: PerAxis,
    options: ConvolutionModuleOptions,
  ) {
    super();
    const owner = this.constructor.name;
    const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
    checkNumbers(owner, count, { inChannels, outChannels, groups });
    perAxis(owner, "stride", stride, axes, 1);
    perAxis(owner, "dilation", dilation, axes, 1);
    if (typeof padding === "string") checkChoice(owner, "padding", padding, ["valid", "same"]);
    else perAxis(owner, "padding", padding, axes, 0);
    check(
      inChannels % groups === 0 && outChannels % groups === 0,
      "argument",
      () =>
        `${owner}: groups must divide both numbers of channels, got ${groups} for ${inChannels} and ${outChannels}. Choose a common divisor.`,
    );
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = [...perAxis(owner, "kernelSize", kernelSize, axes, 1)];
    this.stride = stride;
    this.padding = padding;
    this.dilation = dilation;
    this.groups = groups;
    const shape = [outChannels, inChannels / groups, ...this.kernelSize];
    const bound = 1 / Math.sqrt(sizeOf(shape.slice(1)));
    this.weight = new Parameter(uniform(-bound, bound, shape));
    this.bias =
      options.bias === false ? null : new Parameter(uniform(-bound, bound, [outChannels]));
  }

  /** The convolution of `x`, after a check of its channels. */
  protected convolve(convolution: typeof conv1d, x: Tensor): Tensor {
    const { weight, bias, stride, padding, dilation, groups } = this;
    check(
      x.shape.at(-1 - this.kernelSize.length) === this.inChannels,
      "shape",
      () =>
        `${this.constructor.name}: the input must have ${this.inChannels} channels before its last ${this.kernelSize.length} axes, got ${formatShape(x.shape)}. Reshape it, or make the module for that number.`,
    );
    return convolution(x, weight, { bias, stride, padding, dilation, groups });
  }
}

/**
 * Convolution along one axis, with trained kernels.
 *
 * Weight and bias start evenly distributed in `±1/√(in / groups · kernel)`, as in PyTorch.
 *
 * @example
 * ```ts
 * const layer = new Conv1d(3, 8, 5, { padding: "same" });
 * console.log(layer.forward(ones([2, 3, 100])).shape); // → [ 2, 8, 100 ]
 * ```
 */
export class Conv1d extends Convolution {
  /** @throws XError `argument` if a size is out of its range */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerAxis,
    options: ConvolutionModuleOptions = {},
  ) {
    super(1, inChannels, outChannels, kernelSize, options);
  }

  /** From `[batch, in, length]` (or without batch) to `[batch, out, length′]`. */
  forward(x: Tensor): Tensor {
    return this.convolve(conv1d, x);
  }
}

/**
 * Convolution along two axes, with trained kernels.
 *
 * Weight and bias start evenly distributed in `±1/√(in / groups · kernel)`, as in PyTorch.
 */
export class Conv2d extends Convolution {
  /** @throws XError `argument` if a size is out of its range */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerAxis,
    options: ConvolutionModuleOptions = {},
  ) {
    super(2, inChannels, outChannels, kernelSize, options);
  }

  /** From `[batch, in, height, width]` (or without batch) to `[batch, out, height′, width′]`. */
  forward(x: Tensor): Tensor {
    return this.convolve(conv2d, x);
  }
}
