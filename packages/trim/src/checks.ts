/** Checks of what modules and calls are configured with. */

import { check } from "./error.js";

/** Checks that every given size is a whole number of at least 1. */
export function checkSizes(owner: string, sizes: Readonly<Record<string, number>>): void {
  for (const [name, size] of Object.entries(sizes)) {
    check(
      Number.isSafeInteger(size) && size >= 1,
      "argument",
      () =>
        `${owner}: ${name} must be a whole number of at least 1, got ${String(size)}. Correct it.`,
    );
  }
}

/** Checks that a probability lies between 0 and 1. */
export function checkProbability(owner: string, name: string, value: number): void {
  check(
    typeof value === "number" && value >= 0 && value <= 1,
    "argument",
    () => `${owner}: ${name} must lie between 0 and 1, got ${String(value)}. Correct it.`,
  );
}

/** Checks that a number is finite and, if `isPositive`, above 0. */
export function checkNumber(owner: string, name: string, value: number, isPositive = false): void {
  check(
    Number.isFinite(value) && (!isPositive || value > 0),
    "argument",
    () =>
      `${owner}: ${name} must be a finite number${isPositive ? " above 0" : ""}, got ${String(value)}. Correct it.`,
  );
}
