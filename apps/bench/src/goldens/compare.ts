/** The tolerances of the goldens. */

import type { TypedArray } from "@x/tensor";
import type { GoldenFile, GoldenTensor } from "./golden-file.js";

/** One tensor compared with what was recorded. */
export interface Finding {
  /** Name in the file. */
  readonly tensor: string;
  /** Largest difference, relative to the largest recorded element unless its tolerance is not. */
  readonly error: number;
  readonly tolerance: number;
  /** What is wrong besides numbers, if anything. */
  readonly problem?: string;
}

/** Whether a finding is as it should be. */
export function isGood({ error, tolerance, problem }: Finding): boolean {
  return problem === undefined && error <= tolerance;
}

/** How much of its tolerance a finding uses up; infinite for problems. */
export function severityOf(finding: Finding): number {
  if (finding.problem !== undefined) return Infinity;
  if (finding.tolerance === 0) return finding.error === 0 ? 0 : Infinity;
  return finding.error / finding.tolerance;
}

/** Magnitudes below this count as this much, so that zeros may have rounding noise. */
const smallestScale = 1e-3;

/** Compares elements with a recorded tensor by the rules of the goldens. */
export function compareTensor(
  file: Pick<GoldenFile, "deviation" | "zeros" | "bounds">,
  name: string,
  actual: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
  expected: GoldenTensor,
): Finding {
  const wanted = expected.shape.join();
  if (actual.shape.join() !== wanted || actual.data.length !== expected.data.length) {
    const problem = `the shape must be [${wanted}], got [${actual.shape.join()}]`;
    return { tensor: name, error: Infinity, tolerance: 0, problem };
  }
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

function largestMagnitude(numbers: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < numbers.length; i++) {
    const magnitude = Math.abs(numbers[i]!);
    if (Number.isNaN(magnitude)) return Infinity;
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

function largestFinite(numbers: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < numbers.length; i++) {
    const magnitude = Math.abs(numbers[i]!);
    if (Number.isFinite(magnitude) && magnitude > largest) largest = magnitude;
  }
  return largest;
}

/** The largest difference; infinite where one is NaN and the other is not. */
function largestDifference(actual: ArrayLike<number>, expected: TypedArray): number {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    if (Object.is(actual[i], expected[i]) || actual[i] === expected[i]) continue;
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(difference)) return Infinity;
    if (difference > largest) largest = difference;
  }
  return largest;
}
