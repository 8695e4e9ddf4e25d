/** Reducing methods of tensors: sums, means, extremes, norms. */

/* eslint-disable @typescript-eslint/no-unsafe-declaration-merging --
   What the interface declares is defined from a table at the end of the file. */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import { cast, equal, not, notEqual } from "../ops/elementwise.js";
import { gather } from "../ops/indexing.js";
import { constant } from "../ops/leaf.js";
import { reshape } from "../ops/movement.js";
import * as reduce from "../ops/reduce.js";
import type { TensorCore } from "./core.js";
import { LogicTensor } from "./logic.js";
import { defineMethods } from "./methods.js";
import { normalizeAxes, normalizeAxis } from "./shape.js";
import type { Tensor } from "./tensor.js";

/** The axis or axes that an operation works along; negative numbers count from the end. */
export type Axes = number | readonly number[];

/** Options of reductions. */
export interface ReduceOptions {
  /** Keep the reduced axes, with size 1. */
  readonly keepdim?: boolean;
}

/** Options of `var` and `std`. */
export interface VarianceOptions extends ReduceOptions {
  /** The sum of squares is divided by n − correction. Default 1: the unbiased estimate. */
  readonly correction?: number;
}

/** Values and where along the axis they were found. */
export interface ValuesAndIndices {
  /** The values. */
  readonly values: Tensor;
  /** Their positions, as int32. */
  readonly indices: Tensor;
}

type Reduction = (x: Value, axes: readonly number[]) => Value;

function reduced(
  x: TensorCore,
  op: string,
  dim: Axes | undefined,
  options: ReduceOptions,
  apply: Reduction,
): Tensor {
  const { shape } = x.value;
  const axes = normalizeAxes(op, dim, shape.length);
  return x.wrap(reduce.keep(apply(x.value, axes), shape, axes, options.keepdim === true));
}

/** The methods of `ReducingTensor` that only reduce. */
export interface ReducingTensor {
  /**
   * Sum over `dim`, or over everything. bool and int8 are summed as int32.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const x = tensor([[1, 2], [3, 4]]);
   * console.log(await x.sum().item(), await x.sum(0).toArray()); // → 10 [ 4, 6 ]
   * console.log(x.sum(-1, { keepdim: true }).shape); // → [ 2, 1 ]
   * ```
   */
  sum(dim?: Axes, options?: ReduceOptions): Tensor;

  /**
   * Arithmetic mean over `dim`, or over everything, in float32.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([[1, 2], [3, 4]]).mean(1).toArray()); // → [ 1.5, 3.5 ]
   * ```
   */
  mean(dim?: Axes, options?: ReduceOptions): Tensor;

  /**
   * Product over `dim`, or over everything.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([2, 3, 4]).prod().item()); // → 24
   * ```
   */
  prod(dim?: Axes, options?: ReduceOptions): Tensor;

  /**
   * Largest element over `dim`, or of all; at ties the gradient is shared equally. NaN wins.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([[1, 5], [7, 2]]).amax(1).toArray()); // → [ 5, 7 ]
   * ```
   */
  amax(dim?: Axes, options?: ReduceOptions): Tensor;

  /** Smallest element over `dim`, or of all; at ties the gradient is shared equally. NaN wins. */
  amin(dim?: Axes, options?: ReduceOptions): Tensor;

  /**
   * log Σ eˣ over `dim`, or of all, without overflow.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1000, -1000]).logsumexp().item()); // → 1000
   * ```
   */
  logsumexp(dim?: Axes, options?: ReduceOptions): Tensor;

  /**
   * Whether all elements over `dim`, or all of them, are non-zero.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const x = tensor([[1, 0], [2, 3]]);
   * console.log(await x.all(1).toArray(), await x.any(1).toArray()); // → [ false, true ] [ true, true ]
   * ```
   */
  all(dim?: Axes, options?: ReduceOptions): Tensor;

  /** Whether any element over `dim`, or any at all, is non-zero. */
  any(dim?: Axes, options?: ReduceOptions): Tensor;

  /** How many elements over `dim`, or of all, are non-zero. */
  countNonzero(dim?: Axes, options?: ReduceOptions): Tensor;

  /**
   * The first position of the largest element along `dim`, or in row-major order of all.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([3, 9, 9]).argmax().item()); // → 1
   * ```
   */
  argmax(dim?: number, options?: ReduceOptions): Tensor;

  /** The first position of the smallest element along `dim`, or in row-major order of all. */
  argmin(dim?: number, options?: ReduceOptions): Tensor;
}

/** The reducing part of `Tensor`. */
export abstract class ReducingTensor extends LogicTensor {
  /** The largest element of all. At ties the gradient is shared equally. */
  max(): Tensor;
  /**
   * The largest elements along `dim` and the first place of each, where the gradient goes.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const { values, indices } = tensor([[1, 5], [7, 2]]).max(1);
   * console.log(await values.toArray(), await indices.toArray()); // → [ 5, 7 ] [ 1, 0 ]
   * ```
   */
  max(dim: number, options?: ReduceOptions): ValuesAndIndices;
  max(dim?: number, options: ReduceOptions = {}): Tensor | ValuesAndIndices {
    if (dim === undefined) return this.amax();
    return this.#extreme("max", dim, options, reduce.argmax);
  }

  /** The smallest element of all. At ties the gradient is shared equally. */
  min(): Tensor;
  /** The smallest elements along `dim` and the first place of each, where the gradient goes. */
  min(dim: number, options?: ReduceOptions): ValuesAndIndices;
  min(dim?: number, options: ReduceOptions = {}): Tensor | ValuesAndIndices {
    if (dim === undefined) return this.amin();
    return this.#extreme("min", dim, options, reduce.argmin);
  }

  #extreme(
    op: string,
    dim: number,
    options: ReduceOptions,
    position: (x: Value, axes: readonly number[]) => Value,
  ): ValuesAndIndices {
    const { value } = this;
    if (value.shape.length === 0) {
      normalizeAxis(op, dim, 0);
      return { values: this.wrap(value), indices: this.wrap(constant(0, "int32")) };
    }
    const axis = normalizeAxis(op, dim, value.shape.length);
    const flat = position(value, [axis]);
    const kept = reduce.keep(flat, value.shape, [axis], true);
    const found = gather(value, axis, kept);
    const isKept = options.keepdim === true;
    return {
      values: this.wrap(isKept ? found : reshape(found, flat.shape)),
      indices: this.wrap(isKept ? kept : flat),
    };
  }

  /**
   * Variance over `dim`, or of all: Σ (x − mean)² / (n − correction).
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const x = tensor([1, 2, 3, 4]);
   * console.log(await x.var(0, { correction: 0 }).item()); // → 1.25
   * ```
   */
  var(dim?: Axes, options: VarianceOptions = {}): Tensor {
    const correction = checkedCorrection("var", options);
    return reduced(this, "var", dim, options, (x, axes) => reduce.variance(x, axes, correction));
  }

  /** Standard deviation over `dim`, or of all: the root of `var`. */
  std(dim?: Axes, options: VarianceOptions = {}): Tensor {
    const correction = checkedCorrection("std", options);
    return reduced(this, "std", dim, options, (x, axes) =>
      reduce.standardDeviation(x, axes, correction),
    );
  }

  /**
   * The p-norm (Σ |x|^p)^(1/p) over `dim`, or of all. p = ∞ and −∞ give the largest and smallest
   * |x|, p = 0 counts what is not 0.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const x = tensor([3, -4]);
   * console.log(await x.norm().item(), await x.norm(1).item()); // → 5 7
   * ```
   */
  norm(p: number = 2, dim?: Axes, options: ReduceOptions = {}): Tensor {
    check(
      typeof p === "number" && !Number.isNaN(p),
      "argument",
      () => `norm: p must be a number, got ${String(p)}. Use 2 for the Euclidean length.`,
    );
    return reduced(this, "norm", dim, options, (x, axes) => reduce.vectorNorm(x, p, axes));
  }
}

function checkedCorrection(op: string, { correction = 1 }: VarianceOptions): number {
  check(
    Number.isFinite(correction),
    "argument",
    () => `${op}: the correction must be a number, got ${String(correction)}. Use 0 or 1.`,
  );
  return correction;
}

const countNonzero: Reduction = (x, axes) => reduce.sum(cast(x, "bool"), axes);

defineMethods<Reduction>(
  ReducingTensor,
  {
    sum: reduce.sum,
    mean: reduce.mean,
    prod: reduce.product,
    amax: reduce.max,
    amin: reduce.min,
    argmax: reduce.argmax,
    argmin: reduce.argmin,
    logsumexp: reduce.logSumExp,
    countNonzero,
    all: (x, axes) => equal(reduce.sum(not(x), axes), 0),
    any: (x, axes) => notEqual(countNonzero(x, axes), 0),
  },
  (name, apply) => {
    return function (dim?: Axes, options: ReduceOptions = {}) {
      return reduced(this, name, dim, options, apply);
    };
  },
);
