/**
 * Checks of what is passed to this package. Every error is a sentence `<op>: <what was wrong>, got
 * <actual>. <what to do>.`
 */

import type { DType, Tensor } from "@x/tensor";
import type { Rule } from "@x/tensor/checks";
import { check, checkKeyMask, checkNumbers, count, formatShapes } from "./engine.js";

/** Just that number, such as of elements that a list must have. */
export function exactly(number: number): Rule {
  return [`be ${number}`, (x) => x === number];
}

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

/** Checks that numbers, named by their properties, are whole and at least 1. */
export function checkCounts(op: string, numbers: Readonly<Record<string, unknown>>): void {
  checkNumbers(op, count, numbers);
}

/**
 * Checks that what may come from untyped code is of one of the classes. Their names are given, since
 * bundlers shorten those of the classes themselves.
 */
export function checkInstance(
  op: string,
  name: string,
  value: unknown,
  classes: Readonly<Record<string, abstract new (...args: never[]) => unknown>>,
): void {
  checkArgument(
    op,
    Object.values(classes).some((class_) => value instanceof class_),
    () =>
      `${name} must be a ${Object.keys(classes).join(" or a ")}, got ${typeof value}. Make one.`,
  );
}

/** Checks that what is made with these options has a state: it is causal, and the others are off. */
export function checkContinues(
  op: string,
  causal: boolean,
  others: Readonly<Record<string, unknown>>,
): void {
  checkArgument(
    op,
    causal && !Object.values(others).some(Boolean),
    () =>
      `only causal attention without ${Object.keys(others).join(" and ")} can be continued, got ${JSON.stringify({ causal, ...others })}. Compute the whole sequence instead.`,
  );
}

/** Checks the axes of a tensor, a size or, where any will do, a name for each, and its type. */
export function checkAxes(
  op: string,
  name: string,
  x: Tensor,
  axes: readonly (number | string)[],
  dtype: DType = x.dtype,
): void {
  check(
    x.dtype === dtype &&
      x.rank === axes.length &&
      x.shape.every((size, axis) => typeof axes[axis] === "string" || axes[axis] === size),
    "shape",
    () =>
      `${op}: the ${name} must be ${dtype} [${axes.join(", ")}], got ${x.dtype} ${formatShapes(x)}. Reshape or cast, or make the module for these sizes.`,
  );
}

/** Checks that `x` is [batch, length, dim], of any dim where none is given, and that a mask fits it. */
export function checkSequence(
  op: string,
  name: string,
  x: Tensor,
  dim: number | null = null,
  mask: Tensor | null = null,
): void {
  checkAxes(op, name, x, ["batch", "length", dim ?? "dim"]);
  checkKeyMask(op, mask, x.shape.slice(0, 2));
}

/** Checks that the last axis but one, the length, is a multiple of a number. */
export function checkMultiple(op: string, x: Tensor, divisor: number): void {
  checkShape(
    op,
    x.shape.at(-2)! % divisor === 0,
    [x],
    (shape) => `the length must be a multiple of ${divisor}, got ${shape}. Pad the sequence.`,
  );
}
