/** Positions in a sequence as numbers that may change from call to call without a new plan. */

import { check } from "../error.js";
import { arange } from "../tensor/creation.js";
import { formatShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";

/** Options of everything that depends on positions. */
export interface PositionOptions {
  /**
   * The position of the first element: a number, an int32 tensor `[]`, or one for each element of
   * the first axis, `[batch]`. It may change from call to call without a new plan. Default 0.
   */
  readonly offset?: number | Tensor;
}

/**
 * The positions of `length` elements as int32: `[length]`, or `[batch, 1, …, length]` with as many
 * axes as `x` has before its last one.
 */
export function positionsOf(owner: string, x: Tensor, options: PositionOptions): Tensor {
  check(
    x.rank >= 2,
    "shape",
    () =>
      `${owner}: the input must have at least the axes [length, size], got ${formatShape(x.shape)}. Reshape it.`,
  );
  const length = x.shape.at(-2)!;
  const { offset } = options;
  const place = arange(length, { dtype: "int32" });
  if (offset === undefined) return place;
  if (typeof offset === "number") {
    check(
      Number.isSafeInteger(offset),
      "argument",
      () => `${owner}: the offset must be a whole number, got ${offset}. Count positions from 0.`,
    );
    return place.add(offset);
  }
  check(
    offset.rank === 0 || (offset.rank === 1 && x.rank >= 3 && offset.shape[0] === x.shape[0]),
    "shape",
    () =>
      `${owner}: the offset must be one number or one for each element of the first axis, got ${formatShape(offset.shape)} for ${formatShape(x.shape)}. Reshape it.`,
  );
  if (offset.rank === 0) return place.add(offset.int());
  return offset
    .int()
    .reshape([-1, ...new Array<number>(x.rank - 2).fill(1)])
    .add(place);
}

/** Checks that the positions of `x`, `[…, length, size]`, lie below a number, as far as they are known. */
export function checkPositions(
  owner: string,
  x: Tensor,
  end: number,
  { offset }: PositionOptions,
): void {
  const known = typeof offset === "number" ? offset : 0;
  check(
    known >= 0 && known + (x.shape.at(-2) ?? 0) <= end,
    "argument",
    () =>
      `${owner}: positions must lie below ${end}, got ${formatShape(x.shape)} from position ${known} on. Make it longer or cut the input.`,
  );
}
