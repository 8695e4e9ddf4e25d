/**
 * Initial numbers, as in `torch.nn.init`. Each function gives a tensor, usually a parameter, new
 * numbers and returns it; they are computed when the tensor is used first. Random ones come from
 * the default generator unless another is given.
 *
 * @module
 */

import { check } from "../error.js";
import * as random from "../random/index.js";
import { hostNormal } from "../random/host.js";
import { checkChoice, checkNumbers, finite } from "../tensor/arguments.js";
import { eye as identity, fromData, full } from "../tensor/creation.js";
import { formatShape, sizeOf, type Shape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { orthonormalRows } from "./orthonormal.js";

/** Options of the functions that draw random numbers. */
export interface InitOptions {
  /** Where the numbers come from; the default generator unless given. */
  readonly generator?: random.Generator;
}

/** How many elements of the input each output depends on, and the other way round. */
export interface Fans {
  /** Inputs of one output: `shape[1]` times the size of the kernel. */
  readonly fanIn: number;
  /** Outputs of one input: `shape[0]` times the size of the kernel. */
  readonly fanOut: number;
}

/**
 * The fans of a weight `[out, in, …kernel]`.
 *
 * @throws XError `shape` if it has fewer than two axes
 * @example
 * ```ts
 * console.log(init.calculateFans([16, 8, 3, 3])); // → { fanIn: 72, fanOut: 144 }
 * ```
 */
export function calculateFans(shape: Shape): Fans {
  check(
    shape.length >= 2,
    "shape",
    () =>
      `calculateFans: the weight must have at least the axes [out, in], got ${formatShape(shape)}. Use another initialisation for vectors.`,
  );
  const kernel = sizeOf(shape.slice(2));
  return { fanIn: shape[1]! * kernel, fanOut: shape[0]! * kernel };
}

/** What follows a layer, for the choice of its gain. */
export type Nonlinearity =
  "linear" | "conv1d" | "conv2d" | "sigmoid" | "tanh" | "relu" | "leakyRelu" | "selu";

const gains: Readonly<Record<Nonlinearity, number | null>> = {
  linear: 1,
  conv1d: 1,
  conv2d: 1,
  sigmoid: 1,
  tanh: 5 / 3,
  relu: Math.SQRT2,
  leakyRelu: null,
  selu: 3 / 4,
};

/**
 * How much a layer's weights are scaled up for the function that follows it: 1 for linear maps and
 * sigmoid, 5/3 for tanh, √2 for ReLU, √(2 / (1 + a²)) for leaky ReLU with slope a, 3/4 for SELU.
 *
 * @param slope of leaky ReLU, 0.01 unless given
 */
export function calculateGain(nonlinearity: Nonlinearity, slope: number = 0.01): number {
  checkChoice("calculateGain", "the nonlinearity", nonlinearity, Object.keys(gains));
  checkNumbers("calculateGain", finite, { "the slope": slope });
  return gains[nonlinearity] ?? Math.sqrt(2 / (1 + slope ** 2));
}

/** Evenly distributed in [low, high). */
export function uniform(
  target: Tensor,
  low: number = 0,
  high: number = 1,
  options: InitOptions = {},
): Tensor {
  return target.initialize(random.uniform(low, high, target.shape, options));
}

/** Normally distributed. */
export function normal(
  target: Tensor,
  mean: number = 0,
  std: number = 1,
  options: InitOptions = {},
): Tensor {
  return target.initialize(random.normal(mean, std, target.shape, options));
}

/** Options of `truncNormal`. */
export interface TruncNormalOptions extends InitOptions {
  /** Mean before truncation. Default 0. */
  readonly mean?: number;
  /** Standard deviation before truncation. Default 1. */
  readonly std?: number;
  /** Smallest number. Default −2. */
  readonly low?: number;
  /** Largest number. Default 2. */
  readonly high?: number;
}

/** Normally distributed numbers of which only those in [low, high] are kept. */
export function truncNormal(target: Tensor, options: TruncNormalOptions = {}): Tensor {
  return target.initialize(random.truncatedNormal(target.shape, options));
}

/** The same number everywhere. */
export function constant(target: Tensor, value: number): Tensor {
  return target.initialize(full(target.shape, value, { dtype: target.dtype }));
}

/** Ones. */
export function ones(target: Tensor): Tensor {
  return constant(target, 1);
}

/** Zeros. */
export function zeros(target: Tensor): Tensor {
  return constant(target, 0);
}

/** Ones on the diagonal of a matrix, zeros elsewhere. */
export function eye(target: Tensor): Tensor {
  check(
    target.rank === 2,
    "shape",
    () => `eye: the tensor must be a matrix, got ${formatShape(target.shape)}. Reshape it.`,
  );
  const [rows, columns] = target.shape as [number, number];
  return target.initialize(identity(rows, columns, { dtype: target.dtype }));
}

/** Options of the initialisations by Glorot and Bengio. */
export interface XavierOptions extends InitOptions {
  /** Scales the numbers; see `calculateGain`. Default 1. */
  readonly gain?: number;
}

/**
 * Evenly distributed in ±gain · √(6 / (fanIn + fanOut)) (Glorot and Bengio, 2010).
 *
 * @throws XError `shape` if the tensor has fewer than two axes
 */
export function xavierUniform(target: Tensor, options: XavierOptions = {}): Tensor {
  const bound = Math.sqrt(3) * xavierDeviation("xavierUniform", target, options);
  return uniform(target, -bound, bound, options);
}

/**
 * Normally distributed with standard deviation gain · √(2 / (fanIn + fanOut)) (Glorot and Bengio,
 * 2010).
 *
 * @throws XError `shape` if the tensor has fewer than two axes
 */
export function xavierNormal(target: Tensor, options: XavierOptions = {}): Tensor {
  return normal(target, 0, xavierDeviation("xavierNormal", target, options), options);
}

function xavierDeviation(op: string, target: Tensor, { gain = 1 }: XavierOptions): number {
  checkNumbers(op, finite, { gain });
  const { fanIn, fanOut } = calculateFans(target.shape);
  return gain * Math.sqrt(2 / (fanIn + fanOut));
}

/** Options of the initialisations by He and others. */
export interface KaimingOptions extends InitOptions {
  /** Which variance to keep: forward (`"fanIn"`, the default) or backward. */
  readonly mode?: "fanIn" | "fanOut";
  /** What follows the layer. Default `"leakyRelu"`. */
  readonly nonlinearity?: Nonlinearity;
  /** The slope of leaky ReLU. Default 0, which is plain ReLU. */
  readonly slope?: number;
}

/**
 * Evenly distributed in ±gain · √(3 / fan) (He and others, 2015).
 *
 * @throws XError `shape` if the tensor has fewer than two axes
 */
export function kaimingUniform(target: Tensor, options: KaimingOptions = {}): Tensor {
  const bound = Math.sqrt(3) * kaimingDeviation("kaimingUniform", target, options);
  return uniform(target, -bound, bound, options);
}

/**
 * Normally distributed with standard deviation gain / √fan (He and others, 2015).
 *
 * @throws XError `shape` if the tensor has fewer than two axes
 */
export function kaimingNormal(target: Tensor, options: KaimingOptions = {}): Tensor {
  return normal(target, 0, kaimingDeviation("kaimingNormal", target, options), options);
}

function kaimingDeviation(op: string, target: Tensor, options: KaimingOptions): number {
  const { mode = "fanIn", nonlinearity = "leakyRelu", slope = 0 } = options;
  checkChoice(op, "mode", mode, ["fanIn", "fanOut"]);
  return calculateGain(nonlinearity, slope) / Math.sqrt(calculateFans(target.shape)[mode]);
}

/**
 * A random matrix with orthonormal rows, or columns where there are fewer of them, times `gain`
 * (Saxe and others, 2013). Axes after the first count as one. Computed at once, in JavaScript.
 *
 * @throws XError `shape` if the tensor has fewer than two axes
 * @example
 * ```ts
 * const weight = init.orthogonal(new Parameter(zeros([2, 3])));
 * const product = await weight.matmul(weight.t()).data();
 * console.log([...product].map((x) => Math.round(1000 * Math.abs(x)))); // → [ 1000, 0, 0, 1000 ]
 * ```
 */
export function orthogonal(target: Tensor, options: XavierOptions = {}): Tensor {
  const { gain = 1, generator = random.getDefaultGenerator() } = options;
  checkNumbers("orthogonal", finite, { gain });
  check(
    target.rank >= 2,
    "shape",
    () =>
      `orthogonal: the tensor must have at least two axes, got ${formatShape(target.shape)}. Reshape it.`,
  );
  const rows = target.shape[0]!;
  const columns = sizeOf(target.shape.slice(1));
  const [few, many] = rows < columns ? [rows, columns] : [columns, rows];
  const drawn = hostNormal(generator.draw(), rows * columns);
  const matrix = fromData(orthonormalRows(drawn, few, many), [few, many]);
  const oriented = rows < columns ? matrix : matrix.t();
  return target.initialize(oriented.mul(gain).reshape(target.shape).cast(target.dtype));
}
