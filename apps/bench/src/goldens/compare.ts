/** The tolerances of the goldens. */

import { problemOfShape, type Finding } from "../recorded/finding.js";
import { largestDifference, largestFinite, largestMagnitude } from "../recorded/magnitudes.js";
import type { Elements, RecordedTensor } from "../recorded/tensors.js";
import type { GoldenFile } from "./golden-file.js";

/** Magnitudes below this count as this much, so that zeros may have rounding noise. */
const smallestScale = 1e-3;

/**
 * Compares elements with a recorded tensor by the rules of the goldens: relative to the largest recorded
 * element, unless the tolerance is not.
 */
export function compareTensor(
  file: Pick<GoldenFile, "deviation" | "zeros" | "bounds">,
  name: string,
  actual: Elements,
  expected: RecordedTensor,
): Finding {
  const problem = problemOfShape(name, actual, expected);
  if (problem !== null) return problem;
  if (file.zeros.has(name)) {
    return { tensor: name, error: largestMagnitude(actual.data), tolerance: 1e-4 };
  }
  const difference = largestDifference(actual.data, expected.data);
  if (expected.dtype !== "float32") return { tensor: name, error: difference, tolerance: 0 };
  const bound = file.bounds.get(name);
  if (bound !== undefined) return { tensor: name, error: difference, tolerance: bound };
  const base = Math.max(2e-5, 30 * file.deviation);
  return {
    tensor: name,
    error: difference / Math.max(largestFinite(expected.data), smallestScale),
    tolerance: name.startsWith("grad.") ? 5 * base : base,
  };
}
