/** Comparing numbers within a tolerance. */

import { Tensor } from "../tensor/tensor.js";

/** How far apart two numbers may be: `absolute + relative · |expected|`. */
export interface Tolerance {
  /** Relative part; 1e-5 by default. */
  readonly relative?: number;
  /** Absolute part; 1e-6 by default. */
  readonly absolute?: number;
  /**
   * What the relative part refers to: each expected element by itself (`"element"`, the default),
   * or the largest finite one for all of them (`"largest"`), which suits results with cancellation.
   */
  readonly relativeTo?: "element" | "largest";
}

/** The result of a comparison. */
export interface Comparison {
  /** Whether every element is within its tolerance. */
  readonly isClose: boolean;
  /** The largest difference, in units of the tolerance at that element: at most 1 if all is well. */
  readonly worst: number;
  /** Where it is, counted in row-major order; −1 if there are no elements. */
  readonly index: number;
  /** The element there, and what it should be. */
  readonly actual: number;
  /** What was expected there. */
  readonly expected: number;
}

/** Thrown by `expectClose` and `checkGradients` when numbers are too far apart. */
export class ToleranceError extends Error {
  /** For programs that look at error codes. */
  readonly code = "tolerance";
  /** What was found. */
  readonly comparison: Comparison;

  constructor(message: string, comparison: Comparison) {
    super(message);
    this.name = "ToleranceError";
    this.comparison = comparison;
  }
}

/** Numbers to compare: a tensor, or elements in row-major order. */
export type Numbers = Tensor | ArrayLike<number>;

function differenceOf(actual: number, expected: number): number {
  if (Object.is(actual, expected) || actual === expected) return 0;
  const difference = Math.abs(actual - expected);
  return Number.isNaN(difference) ? Infinity : difference;
}

/** Compares elements; NaN equals NaN, and an infinity equals itself. */
export function compareElements(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { relative = 1e-5, absolute = 1e-6, relativeTo = "element" }: Tolerance = {},
): Comparison {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const magnitude = Math.abs(expected[i]!);
    if (Number.isFinite(magnitude) && magnitude > largest) largest = magnitude;
  }
  let worst = 0;
  let index = expected.length > 0 ? 0 : -1;
  for (let i = 0; i < expected.length; i++) {
    const difference = differenceOf(actual[i]!, expected[i]!);
    if (difference === 0) continue;
    const own = Math.abs(expected[i]!);
    const reference = relativeTo === "largest" || !Number.isFinite(own) ? largest : own;
    const excess = difference / (absolute + relative * reference);
    if (excess > worst) {
      worst = excess;
      index = i;
    }
  }
  return {
    isClose: worst <= 1 && actual.length === expected.length,
    worst,
    index,
    actual: actual[index] ?? NaN,
    expected: expected[index] ?? NaN,
  };
}

async function elementsOf(numbers: Numbers): Promise<ArrayLike<number>> {
  return numbers instanceof Tensor ? numbers.data() : numbers;
}

/**
 * Throws a `ToleranceError` unless the numbers agree within the tolerance.
 *
 * @example
 * ```ts
 * import { tensor } from "@x/tensor";
 * import { expectClose } from "@x/tensor/testing";
 *
 * await expectClose(tensor([1, 2]).exp(), [Math.E, Math.E ** 2], { relative: 1e-6 });
 * ```
 */
export async function expectClose(
  actual: Numbers,
  expected: Numbers,
  tolerance: Tolerance = {},
): Promise<Comparison> {
  const numbers = await elementsOf(actual);
  const wanted = await elementsOf(expected);
  if (numbers.length !== wanted.length) {
    const comparison = compareElements(numbers, wanted, tolerance);
    throw new ToleranceError(
      `expectClose: both must have the same number of elements, got ${numbers.length} for ${wanted.length}. Compare like with like.`,
      comparison,
    );
  }
  const comparison = compareElements(numbers, wanted, tolerance);
  if (!comparison.isClose) {
    throw new ToleranceError(
      `expectClose: ${comparison.expected} was expected at index ${comparison.index}, got ${comparison.actual}. The difference is ${comparison.worst.toPrecision(3)} times the tolerance.`,
      comparison,
    );
  }
  return comparison;
}

/** The largest absolute difference between two sets of numbers; infinite where only one is NaN. */
export async function largestError(actual: Numbers, expected: Numbers): Promise<number> {
  const numbers = await elementsOf(actual);
  const wanted = await elementsOf(expected);
  let largest = numbers.length === wanted.length ? 0 : Infinity;
  for (let i = 0; i < wanted.length; i++) {
    largest = Math.max(largest, differenceOf(numbers[i]!, wanted[i]!));
  }
  return largest;
}
