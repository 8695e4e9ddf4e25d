/** The tolerances of recorded outputs. */

import type { RecordedTensor } from "./expected.js";

/** One result compared with what was recorded. */
export interface Finding {
  /** Its name in the file. */
  readonly tensor: string;
  /** Largest difference. */
  readonly error: number;
  /** Largest difference allowed. */
  readonly tolerance: number;
  /** What is wrong besides numbers, if anything. */
  readonly problem?: string;
}

/** Relative to the largest number, or to 1. */
const share = 1e-4;

/**
 * Compares numbers.
 *
 * @param isCompared for each row of the last axis whether it means something; all do without
 */
export function compareNumbers(
  tensor: string,
  actual: RecordedTensor,
  expected: RecordedTensor,
  isCompared: ArrayLike<unknown> | null = null,
): Finding {
  const wanted = expected.shape.join();
  if (actual.shape.join() !== wanted) {
    const problem = `the shape must be [${wanted}], got [${actual.shape.join()}]`;
    return { tensor, error: Infinity, tolerance: 0, problem };
  }
  const size = expected.shape.at(-1) ?? 1;
  let error = 0;
  let largest = 0;
  let compared = 0;
  for (let i = 0; i < expected.data.length; i++) {
    if (isCompared !== null && !isCompared[Math.floor(i / size)]) continue;
    compared++;
    const difference = Math.abs(actual.data[i]! - expected.data[i]!);
    largest = Math.max(largest, Math.abs(expected.data[i]!));
    // NaN is an error of any size.
    error = Number.isNaN(difference) ? Infinity : Math.max(error, difference);
    if (error === Infinity) break;
  }
  const finding = { tensor, error, tolerance: share * Math.max(largest, 1) };
  return compared > 0
    ? finding
    : { ...finding, problem: "nothing was recorded that could be compared" };
}

/** Compares ids, which must be equal. */
export function compareIds(
  tensor: string,
  actual: readonly number[],
  expected: readonly number[],
): Finding {
  const isSame = actual.join() === expected.join();
  const finding = { tensor, error: isSame ? 0 : 1, tolerance: 0 };
  if (isSame) return finding;
  return { ...finding, problem: `ids must be ${expected.join(" ")}, got ${actual.join(" ")}` };
}
