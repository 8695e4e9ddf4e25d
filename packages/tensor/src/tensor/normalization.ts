/** Normalization of rows, vectors and channels. */

import { check } from "../error.js";
import { layerNorm as layerNormValue, rmsNorm as rmsNormValue } from "../ops/normalization.js";
import { checkNumbers, nonNegative } from "./arguments.js";
import { noGrad } from "./grad.js";
import type { Axes } from "./reduce.js";
import { formatShape, sameShape, type Shape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** Options of `layerNorm`. */
export interface LayerNormOptions {
  /** Multiplies the normalised rows; of the normalised shape. */
  readonly weight?: Tensor | null;
  /** Added at the end; of the normalised shape. */
  readonly bias?: Tensor | null;
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
}

/** Options of `rmsNorm`. */
export interface RmsNormOptions {
  /** Multiplies the normalised rows; of the normalised shape. */
  readonly weight?: Tensor | null;
  /** Added to the mean square. Default 2⁻²³, the distance of float32 numbers at 1. */
  readonly eps?: number;
}

/** Checks that `x` ends in the normalised shape; gives the number of its axes. */
function normalizedAxes(op: string, x: Tensor, normalizedShape: number | Shape): number {
  const shape = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
  check(
    shape.length > 0 && sameShape(x.shape.slice(-shape.length), shape),
    "shape",
    () =>
      `${op}: the last axes must have the normalised shape ${formatShape(shape)}, got ${formatShape(x.shape)}. Correct one of the two.`,
  );
  return shape.length;
}

/**
 * Layer normalization over the last axes: (x − mean) / √(variance + eps) · weight + bias, with the
 * mean and the (biased) variance of each row.
 *
 * @param normalizedShape the sizes of the axes that make a row; a number for one axis
 *
 * @example
 * ```ts
 * import { layerNorm, tensor } from "@x/tensor";
 *
 * const y = layerNorm(tensor([[1, 3]]), 2, { eps: 0 });
 * console.log(await y.toArray()); // → [ [ -1, 1 ] ]
 * ```
 *
 * @see Ba, Kiros, Hinton: Layer Normalization (2016)
 */
export function layerNorm(
  x: Tensor,
  normalizedShape: number | Shape,
  options: LayerNormOptions = {},
): Tensor {
  const { weight, bias, eps = 1e-5 } = options;
  checkNumbers("layerNorm", nonNegative, { eps });
  const axes = normalizedAxes("layerNorm", x, normalizedShape);
  return new Tensor(layerNormValue(x.value, axes, weight?.value ?? null, bias?.value ?? null, eps));
}

/**
 * RMS normalization over the last axes: x / √(mean x² + eps) · weight.
 *
 * @example
 * ```ts
 * import { rmsNorm, tensor } from "@x/tensor";
 *
 * const y = rmsNorm(tensor([[1, 7]]), 2, { eps: 0 });
 * console.log(await y.mul(5).toArray()); // → [ [ 1, 7 ] ]
 * ```
 *
 * @see Zhang, Sennrich: Root Mean Square Layer Normalization (2019)
 */
export function rmsNorm(
  x: Tensor,
  normalizedShape: number | Shape,
  options: RmsNormOptions = {},
): Tensor {
  const { weight, eps = 2 ** -23 } = options;
  checkNumbers("rmsNorm", nonNegative, { eps });
  const axes = normalizedAxes("rmsNorm", x, normalizedShape);
  return new Tensor(rmsNormValue(x.value, axes, weight?.value ?? null, eps));
}

/** Options of `normalize`. */
export interface NormalizeOptions {
  /** Which norm. Default 2. */
  readonly p?: number;
  /** The axes of a vector. Default 1. */
  readonly dim?: Axes;
  /** Vectors shorter than this are divided by it. Default 1e-12. */
  readonly eps?: number;
}

/**
 * Vectors of length 1: x / max(‖x‖_p, eps).
 *
 * @example
 * ```ts
 * import { normalize, tensor } from "@x/tensor";
 *
 * const y = normalize(tensor([[3, 4]]));
 * console.log(await y.norm().item()); // → 1
 * ```
 */
export function normalize(x: Tensor, options: NormalizeOptions = {}): Tensor {
  const { p = 2, dim = 1, eps = 1e-12 } = options;
  checkNumbers("normalize", nonNegative, { eps });
  return x.div(x.norm(p, dim, { keepdim: true }).clamp(eps));
}

/** Options of `batchNorm`. */
export interface BatchNormOptions {
  /** Multiplies each channel. */
  readonly weight?: Tensor | null;
  /** Added to each channel. */
  readonly bias?: Tensor | null;
  /** Normalise by the batch's statistics and move the running ones. Default false. */
  readonly training?: boolean;
  /** How far the running statistics move toward the batch's. Default 0.1. */
  readonly momentum?: number;
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
}

/**
 * Batch normalization of channels (axis 1): (x − mean) / √(variance + eps) · weight + bias. While
 * training with the statistics of the batch, which `runningMean` and `runningVar` follow (with the
 * unbiased variance); otherwise with those two.
 *
 * @example
 * ```ts
 * import { batchNorm, ones, tensor, zeros } from "@x/tensor";
 *
 * const x = tensor([[1, 10], [3, 30]]);
 * const y = batchNorm(x, zeros([2]), ones([2]), { training: true, eps: 0 });
 * console.log(await y.toArray()); // → [ [ -1, -1 ], [ 1, 1 ] ]
 * ```
 *
 * @see Ioffe, Szegedy: Batch Normalization (2015)
 */
export function batchNorm(
  x: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  options: BatchNormOptions = {},
): Tensor {
  const { weight, bias, training = false, momentum = 0.1, eps = 1e-5 } = options;
  checkNumbers("batchNorm", nonNegative, { eps });
  check(
    x.rank >= 2,
    "shape",
    () =>
      `batchNorm: the input must be [batch, channels, ...], got shape ${formatShape(x.shape)}. Add the missing axis.`,
  );
  const hasStatistics = runningMean !== null && runningVar !== null;
  check(
    training || hasStatistics,
    "argument",
    () =>
      "batchNorm: running statistics are needed outside training, got null. Pass them or set training.",
  );
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
  const channels = x.shape.map((n, axis) => (axis === 1 ? n : 1));
  let mean = runningMean!;
  let variance = runningVar!;
  if (training) {
    mean = x.mean(axes);
    variance = x.var(axes, { correction: 0 });
    if (hasStatistics) {
      noGrad(() => {
        runningMean.assign(runningMean.lerp(mean, momentum));
        runningVar.assign(runningVar.lerp(x.var(axes), momentum));
      });
    }
  }
  const scale = variance.add(eps).rsqrt();
  let y = x.sub(mean.reshape(channels)).mul(scale.reshape(channels));
  if (weight) y = y.mul(weight.reshape(channels));
  return bias ? y.add(bias.reshape(channels)) : y;
}
