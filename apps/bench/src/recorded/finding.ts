/** What comparing one tensor with what was recorded found. */

import type { Elements } from "./tensors.js";

/** One tensor compared with what was recorded. */
export interface Finding {
  /** Name in the file. */
  readonly tensor: string;
  /** Largest difference, on the scale of the tolerance. */
  readonly error: number;
  /** Largest difference allowed. */
  readonly tolerance: number;
  /** What is wrong besides numbers, if anything. */
  readonly problem?: string;
}

/** A tensor that cannot be right, whatever its numbers are. */
export function problemWith(tensor: string, problem: string): Finding {
  return { tensor, error: Infinity, tolerance: 0, problem };
}

/** What is wrong with the shape, if anything. */
export function problemOfShape(
  tensor: string,
  actual: Elements,
  expected: Elements,
): Finding | null {
  const wanted = expected.shape.join();
  if (actual.shape.join() === wanted && actual.data.length === expected.data.length) return null;
  return problemWith(tensor, `the shape must be [${wanted}], got [${actual.shape.join()}]`);
}

/** Whether a finding is as it should be. */
export function isGood({ error, tolerance, problem }: Finding): boolean {
  return problem === undefined && error <= tolerance;
}

/** How much of its tolerance a finding uses up; infinite for problems. */
export function severityOf({ error, tolerance, problem }: Finding): number {
  if (problem !== undefined) return Infinity;
  return error === 0 ? 0 : error / tolerance;
}

/** What is wrong, in words. */
export function explain({ tensor, error, tolerance, problem }: Finding): string {
  return `${tensor}: ${problem ?? `error ${error.toExponential(2)} above ${tolerance.toExponential(2)}`}`;
}
