/** The tolerances of recorded outputs. */

import { problemOfShape, problemWith, type Finding } from "../recorded/finding.js";
import { largestDifference, largestFinite } from "../recorded/magnitudes.js";
import type { Elements } from "../recorded/tensors.js";

/** Relative to the largest number, or to 1. */
const share = 1e-4;

/**
 * Compares numbers.
 *
 * @param isCompared for each row of the last axis whether it means something; all do without
 */
export function compareNumbers(
  tensor: string,
  actual: Elements,
  expected: Elements,
  isCompared: ArrayLike<unknown> | null = null,
): Finding {
  const problem = problemOfShape(tensor, actual, expected);
  if (problem !== null) return problem;
  const size = expected.shape.at(-1) ?? 1;
  const compared = ({ data }: Elements): number[] =>
    Array.from(data).filter((_, i) => isCompared === null || isCompared[Math.floor(i / size)]);
  const numbers = compared(expected);
  if (numbers.length === 0) return problemWith(tensor, "nothing was recorded that could be compared");
  return {
    tensor,
    error: largestDifference(compared(actual), numbers),
    tolerance: share * Math.max(largestFinite(numbers), 1),
  };
}

/** Compares ids, which must be equal. */
export function compareIds(
  tensor: string,
  actual: readonly number[],
  expected: readonly number[],
): Finding {
  return actual.join() === expected.join()
    ? { tensor, error: 0, tolerance: 0 }
    : problemWith(tensor, `ids must be ${expected.join(" ")}, got ${actual.join(" ")}`);
}
