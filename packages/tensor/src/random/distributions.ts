/** Tensors of random numbers. */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import type { Draw } from "../ops/draw.js";
import { add, cast, less, log, multiply } from "../ops/elementwise.js";
import { scalar } from "../ops/leaf.js";
import * as random from "../ops/random.js";
import { errorFunction } from "../reference/error-function.js";
import { checkNumbers, finite, nonNegative, positive } from "../tensor/arguments.js";
import type { TensorOptions } from "../tensor/creation.js";
import { isFloat } from "../tensor/dtype.js";
import { operandValue, type Operand } from "../tensor/operand.js";
import { reserve } from "../tensor/reserve.js";
import { checkShape, formatShape, normalizeAxis, type Shape } from "../tensor/shape.js";
import { Tensor } from "../tensor/tensor.js";
import { getDefaultGenerator, type Generator } from "./generator.js";

/** Options of the functions that draw random numbers. */
export interface RandomOptions extends TensorOptions {
  /** Where the numbers come from; the default generator unless given. */
  readonly generator?: Generator;
}

function drawFrom(options: RandomOptions): Draw {
  return (options.generator ?? getDefaultGenerator()).draw();
}

/**
 * `location + scale · x` for random x: in memory of its own where it must be a leaf, else a function
 * of the draw that is computed where it is needed.
 */
function drawn(
  op: string,
  shape: Shape,
  options: RandomOptions,
  { location, scale }: { location: number; scale: number },
  standard: (draw: random.DrawScalars) => Value,
): Tensor {
  checkShape(op, shape);
  const { dtype = "float32", device = null, requiresGrad = false } = options;
  check(
    isFloat(dtype),
    "dtype",
    () => `${op}: the numbers are floating-point numbers, got type ${dtype}. Use randint().`,
  );
  let value = standard(random.drawScalars(drawFrom(options)));
  if (location !== 0 || scale !== 1) value = add(multiply(value, scalar(scale)), scalar(location));
  const result = new Tensor(cast(value, dtype));
  if (!requiresGrad && device === null) return result;
  const leaf = new Tensor(reserve({ shape, dtype, device })).initialize(result);
  return requiresGrad ? leaf.setRequiresGrad() : leaf;
}

/**
 * Evenly distributed in [0, 1).
 *
 * @example
 * ```ts
 * import { rand } from "@x/tensor";
 *
 * const x = await rand([1000]).mean().item();
 * console.log(x > 0.4 && x < 0.6); // → true
 * ```
 */
export function rand(shape: Shape, options: RandomOptions = {}): Tensor {
  return uniform(0, 1, shape, options);
}

/**
 * Normally distributed with mean 0 and standard deviation 1.
 *
 * @example
 * ```ts
 * import { manualSeed, randn } from "@x/tensor";
 *
 * manualSeed(0);
 * console.log(randn([2, 3]).shape); // → [ 2, 3 ]
 * ```
 */
export function randn(shape: Shape, options: RandomOptions = {}): Tensor {
  return normal(0, 1, shape, options);
}

/**
 * Evenly distributed in [low, high).
 *
 * @example
 * ```ts
 * import { uniform } from "@x/tensor/random";
 *
 * const x = await uniform(2, 3, [100]).amin().item();
 * console.log(x >= 2 && x < 3); // → true
 * ```
 */
export function uniform(
  low: number,
  high: number,
  shape: Shape,
  options: RandomOptions = {},
): Tensor {
  checkNumbers("uniform", finite, { low, high });
  return drawn("uniform", shape, options, { location: low, scale: high - low }, (draw) =>
    random.uniform(draw, shape),
  );
}

/**
 * Normally distributed with the given mean and standard deviation.
 *
 * @example
 * ```ts
 * import { normal } from "@x/tensor/random";
 *
 * console.log(normal(5, 2, [3]).shape); // → [ 3 ]
 * ```
 */
export function normal(
  mean: number,
  std: number,
  shape: Shape,
  options: RandomOptions = {},
): Tensor {
  checkNumbers("normal", finite, { mean });
  checkNumbers("normal", nonNegative, { std });
  return drawn("normal", shape, options, { location: mean, scale: std }, (draw) =>
    random.normal(draw, shape),
  );
}

/** Options of `uniformAt`. */
export interface UniformAtOptions {
  /** Which numbers, a whole number from 0 to 2³² − 1. Default 0. */
  readonly seed?: number;
  /** A second coordinate of each place, broadcast against the first. Default 0. */
  readonly stream?: Operand;
}

/**
 * Evenly distributed in [0, 1): the number that belongs to each place. The same place, stream and seed
 * have the same number wherever and whenever it is asked for, so that numbers need not be kept; places
 * may be data that changes at every step.
 *
 * @param places whole numbers of any shape; negative ones count from 2³²
 * @throws XError `argument` if the seed is out of range
 * @example
 * ```ts
 * import { arange } from "@x/tensor";
 * import { uniformAt } from "@x/tensor/random";
 *
 * const all = uniformAt(arange(10), { seed: 7 });
 * const some = uniformAt(arange(10).slice([4, 6]), { seed: 7 });
 * console.log(await all.slice([4, 6]).sub(some).abs().sum().item()); // → 0
 * ```
 */
export function uniformAt(places: Tensor, options: UniformAtOptions = {}): Tensor {
  const { seed = 0, stream = 0 } = options;
  check(
    Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32,
    "argument",
    () =>
      `uniformAt: the seed must be a whole number from 0 to 2^32 - 1, got ${String(seed)}. Choose such a number.`,
  );
  const streams = operandValue("uniformAt", "uint32", stream);
  return new Tensor(random.uniformAt(places.value, streams, scalar(seed, "uint32")));
}

/** Parameters of `truncatedNormal`. */
export interface TruncatedNormalOptions extends RandomOptions {
  /** Mean before truncation. Default 0. */
  readonly mean?: number;
  /** Standard deviation before truncation. Default 1. */
  readonly std?: number;
  /** Smallest number. Default −2. */
  readonly low?: number;
  /** Largest number. Default 2. */
  readonly high?: number;
}

/**
 * Normally distributed numbers of which only those in [low, high] are kept.
 *
 * @example
 * ```ts
 * import { truncatedNormal } from "@x/tensor/random";
 *
 * const x = truncatedNormal([100], { std: 0.02, low: -0.04, high: 0.04 });
 * console.log((await x.abs().amax().item()) <= 0.04); // → true
 * ```
 */
export function truncatedNormal(shape: Shape, options: TruncatedNormalOptions = {}): Tensor {
  const { mean = 0, std = 1, low = -2, high = 2 } = options;
  checkNumbers("truncatedNormal", finite, { mean, low, high });
  checkNumbers("truncatedNormal", positive, { std });
  check(
    low < high,
    "argument",
    () => `truncatedNormal: low must lie below high, got ${low} and ${high}. Swap them.`,
  );
  const end = (limit: number): { bound: number; erf: number } => {
    const bound = (limit - mean) / std;
    return { bound, erf: errorFunction(bound * Math.SQRT1_2) };
  };
  return drawn("truncatedNormal", shape, options, { location: mean, scale: std }, (draw) =>
    random.truncatedNormal(draw, shape, end(low), end(high)),
  );
}

/**
 * Exponentially distributed with density λ e^(−λx).
 *
 * @example
 * ```ts
 * import { exponential } from "@x/tensor/random";
 *
 * console.log((await exponential(2, [100]).amin().item()) >= 0); // → true
 * ```
 */
export function exponential(rate: number, shape: Shape, options: RandomOptions = {}): Tensor {
  checkNumbers("exponential", positive, { rate });
  checkShape("exponential", shape);
  const value = random.exponential(random.drawScalars(drawFrom(options)), shape);
  return new Tensor(cast(multiply(value, scalar(1 / rate)), options.dtype ?? "float32"));
}

/**
 * Whole numbers from `low` (0 unless given) to before `high`, int32 unless a type is given.
 *
 * @example
 * ```ts
 * import { randint } from "@x/tensor";
 *
 * const dice = await randint(1, 7, [100]).toArray();
 * console.log(Math.min(...(dice as number[])) >= 1, Math.max(...(dice as number[])) <= 6); // → true true
 * ```
 */
export function randint(high: number, shape: Shape, options?: RandomOptions): Tensor;
/** Whole numbers from `low` to before `high`. */
export function randint(low: number, high: number, shape: Shape, options?: RandomOptions): Tensor;
export function randint(
  first: number,
  second: number | Shape,
  third: Shape | RandomOptions = {},
  fourth: RandomOptions = {},
): Tensor {
  const hasLow = typeof second === "number";
  const [low, high] = hasLow ? [first, second] : [0, first];
  const shape = (hasLow ? third : second) as Shape;
  const options = (hasLow ? fourth : third) as RandomOptions;
  check(
    Number.isInteger(low) && Number.isInteger(high) && low < high && high - low < 2 ** 32,
    "argument",
    () =>
      `randint: low and high must be whole numbers with low below high, got ${low} and ${high}. Correct them.`,
  );
  check(
    low >= -(2 ** 31) && high <= 2 ** 31,
    "argument",
    () => `randint: numbers must fit int32, got a range from ${low} to ${high}. Narrow it.`,
  );
  checkShape("randint", shape);
  const draw = random.drawScalars(drawFrom(options));
  const value = random.randomIntegers(draw, shape, low, high);
  return new Tensor(cast(value, options.dtype ?? "int32"));
}

/**
 * The numbers 0 … n − 1 in random order, int32.
 *
 * @example
 * ```ts
 * import { randperm } from "@x/tensor";
 *
 * const { values } = randperm(4).sort();
 * console.log(await values.toArray()); // → [ 0, 1, 2, 3 ]
 * ```
 */
export function randperm(n: number, options: RandomOptions = {}): Tensor {
  checkShape("randperm", [n]);
  const value = random.permutation(random.drawScalars(drawFrom(options)), n);
  return new Tensor(cast(value, options.dtype ?? "int32"));
}

/**
 * Evenly distributed in [0, 1), in the shape of `like`.
 *
 * @example
 * ```ts
 * import { randLike, zeros } from "@x/tensor";
 *
 * console.log(randLike(zeros([2, 3])).shape); // → [ 2, 3 ]
 * ```
 */
export function randLike(like: Tensor, options: RandomOptions = {}): Tensor {
  return rand(like.shape, options);
}

/**
 * Standard normal, in the shape of `like`.
 *
 * @example
 * ```ts
 * import { randnLike, zeros } from "@x/tensor";
 *
 * console.log(randnLike(zeros([2, 3])).shape); // → [ 2, 3 ]
 * ```
 */
export function randnLike(like: Tensor, options: RandomOptions = {}): Tensor {
  return randn(like.shape, options);
}

/**
 * 1 with the probability each element of `probabilities` gives, else 0; float32.
 *
 * @example
 * ```ts
 * import { bernoulli, tensor } from "@x/tensor";
 *
 * console.log(await bernoulli(tensor([0, 1])).toArray()); // → [ 0, 1 ]
 * ```
 */
export function bernoulli(probabilities: Tensor, options: RandomOptions = {}): Tensor {
  const draw = random.drawScalars(drawFrom(options));
  const hit = less(random.uniform(draw, probabilities.shape), probabilities.detach().value);
  return new Tensor(cast(hit, options.dtype ?? "float32"));
}

/**
 * One class number a row of logits [..., C] (int32 [...]), with probability softmax(logits).
 *
 * @example
 * ```ts
 * import { tensor } from "@x/tensor";
 * import { categorical } from "@x/tensor/random";
 *
 * console.log(await categorical(tensor([[0, 100], [100, 0]])).toArray()); // → [ 1, 0 ]
 * ```
 */
export function categorical(logits: Tensor, options: RandomOptions = {}): Tensor {
  check(
    logits.rank > 0 && logits.shape.at(-1) !== 0,
    "shape",
    () =>
      `categorical: logits must have a last axis of classes, got shape ${formatShape(logits.shape)}. Add one.`,
  );
  const draw = random.drawScalars(drawFrom(options));
  return new Tensor(random.categorical(logits.detach().value, draw));
}

/** Options of `multinomial`. */
export interface MultinomialOptions extends RandomOptions {
  /** Whether one class may be drawn several times. Default false. */
  readonly replacement?: boolean;
}

/**
 * `numSamples` class numbers for each row of `weights` ([C] or [rows, C], not negative), each with
 * probability proportional to its weight; int32 [numSamples] or [rows, numSamples].
 *
 * @example
 * ```ts
 * import { multinomial, tensor } from "@x/tensor";
 *
 * console.log(await multinomial(tensor([0, 3, 0]), 2, { replacement: true }).toArray()); // → [ 1, 1 ]
 * ```
 */
export function multinomial(
  weights: Tensor,
  numSamples: number,
  options: MultinomialOptions = {},
): Tensor {
  const axis = normalizeAxis("multinomial", -1, weights.rank);
  const classes = weights.shape[axis] ?? 0;
  const replacement = options.replacement === true;
  check(
    weights.rank >= 1 && weights.rank <= 2,
    "shape",
    () =>
      `multinomial: weights must be [classes] or [rows, classes], got shape ${formatShape(weights.shape)}. Reshape them.`,
  );
  check(
    Number.isInteger(numSamples) && numSamples >= 1 && (replacement || numSamples <= classes),
    "argument",
    () =>
      `multinomial: without replacement between 1 and ${classes} samples can be drawn, got ${numSamples}. Draw fewer or set replacement.`,
  );
  const logits = new Tensor(log(weights.detach().value));
  if (replacement) {
    const shape = [...weights.shape.slice(0, -1), numSamples, classes];
    return categorical(logits.unsqueeze(-2).expand(shape), options);
  }
  const draw = random.drawScalars(drawFrom(options));
  const noisy = logits.add(new Tensor(random.gumbel(draw, weights.shape)));
  return noisy.topk(numSamples).indices;
}
