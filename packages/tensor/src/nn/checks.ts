/** Checks of what modules are configured with. */

import { check } from "../error.js";
import { formatShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";

/** Checks that `value` is a whole number of at least `least`. */
export function checkWhole(owner: string, name: string, value: number, least = 1): void {
  check(
    Number.isSafeInteger(value) && value >= least,
    "argument",
    () =>
      `${owner}: ${name} must be a whole number of at least ${least}, got ${String(value)}. Correct it.`,
  );
}

/** Checks that `value` is a finite number of at least 0, or above 0. */
export function checkNumber(
  owner: string,
  name: string,
  value: number,
  range: "any" | "at least 0" | "above 0",
): void {
  const fits =
    Number.isFinite(value) && (range === "any" || (range === "above 0" ? value > 0 : value >= 0));
  const wanted = range === "any" ? "a finite number" : `a finite number ${range}`;
  check(
    fits,
    "argument",
    () => `${owner}: ${name} must be ${wanted}, got ${String(value)}. Correct it.`,
  );
}

/** Checks that `value` is a probability. */
export function checkProbability(owner: string, name: string, value: number): void {
  check(
    typeof value === "number" && value >= 0 && value <= 1,
    "argument",
    () => `${owner}: ${name} must lie between 0 and 1, got ${String(value)}. Correct it.`,
  );
}

/** Checks that `value` is one of `choices`. */
export function checkChoice(
  owner: string,
  name: string,
  value: string,
  choices: readonly string[],
): void {
  check(
    choices.includes(value),
    "argument",
    () =>
      `${owner}: ${name} must be one of ${choices.map((choice) => `"${choice}"`).join(", ")}, got ${typeof value === "string" ? `"${value}"` : String(value)}. Choose one of them.`,
  );
}

/** Checks that the last axis of `x` has the size that a module was made for. */
export function checkLastAxis(owner: string, name: string, x: Tensor, size: number): void {
  check(
    x.shape.at(-1) === size,
    "shape",
    () =>
      `${owner}: the last axis of the ${name} must be ${size}, got ${formatShape(x.shape)}. Reshape it, or make the module for that size.`,
  );
}
