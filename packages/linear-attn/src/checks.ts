/**
 * Checks of what is passed to this package. Every error is a sentence `<op>: <what was wrong>, got
 * <actual>. <what to do>.`
 */

import type { Tensor } from "@x/tensor";
import { check, checkKeyMask, checkNumbers, count, formatShapes } from "@x/tensor/checks";

/** Refuses an argument; `sentence` is what follows `<op>: `. */
export function checkArgument(op: string, fits: boolean, sentence: () => string): void {
  check(fits, "argument", () => `${op}: ${sentence()}`);
}

/** Refuses tensors for their shapes, which the sentence gets as text. */
export function checkShape(
  op: string,
  fits: boolean,
  tensors: readonly Tensor[],
  sentence: (shapes: string) => string,
): void {
  check(fits, "shape", () => `${op}: ${sentence(formatShapes(...tensors))}`);
}

/** Checks that what is made with these options has a state: it is causal, and the others are off. */
export function checkContinues(
  op: string,
  causal: boolean,
  others: Readonly<Record<string, unknown>>,
): void {
  const named = Object.entries(others);
  checkArgument(
    op,
    causal && named.every(([, value]) => !value),
    () =>
      `only causal attention without ${Object.keys(others).join(" and ")} can be continued, got causal ${causal}, ${named.map(([name, value]) => `${name} ${String(value)}`).join(" and ")}. Compute the whole sequence instead.`,
  );
}

/** Checks that numbers, named by their properties, are whole and at least 1. */
export function checkCounts(op: string, numbers: Readonly<Record<string, unknown>>): void {
  checkNumbers(op, count, numbers);
}

/** Checks that a mask, where there is one, is bool [batch, length]. */
export function checkMask(op: string, mask: Tensor | null, shape: readonly number[]): void {
  if (mask !== null) checkKeyMask(op, mask, shape);
}

/** Checks that `x` is [batch, length, dim], of any dim where none is given, and that a mask fits it. */
export function checkSequence(
  op: string,
  name: string,
  x: Tensor,
  dim: number | null,
  mask: Tensor | null = null,
): void {
  checkShape(
    op,
    x.rank === 3 && (dim === null || x.shape[2] === dim),
    [x],
    (shape) =>
      `the ${name} must have the axes [batch, length, ${dim ?? "dim"}], got ${shape}. Reshape it, or make the module for that size.`,
  );
  checkMask(op, mask, x.shape.slice(0, 2));
}
