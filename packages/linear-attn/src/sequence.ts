/** What modules of sequences share: the check of their input, and heads. */

import type { Tensor } from "@x/tensor";
import { check, checkKeyMask, checkNumbers, count, formatShape } from "@x/tensor/checks";

/** Checks that `x` is [batch, length, dim], of any dim where none is given, and that a mask fits it. */
export function checkSequence(
  op: string,
  name: string,
  x: Tensor,
  dim: number | null,
  mask: Tensor | null = null,
): void {
  check(
    x.rank === 3 && (dim === null || x.shape[2] === dim),
    "shape",
    () =>
      `${op}: the ${name} must have the axes [batch, length, ${dim ?? "dim"}], got ${formatShape(x.shape)}. Reshape it, or make the module for that size.`,
  );
  if (mask !== null) checkKeyMask(op, mask, x.shape.slice(0, 2));
}

/** The size of a head, given or a part of `dim`. */
export function headSize(
  op: string,
  dim: number,
  heads: number,
  dimHead: number | null = null,
): number {
  if (dimHead !== null) {
    checkNumbers(op, count, { dimHead });
    return dimHead;
  }
  check(
    dim % heads === 0,
    "argument",
    () =>
      `${op}: the number of heads must divide dim, got ${heads} heads for ${dim}. Choose a divisor, or set dimHead.`,
  );
  return dim / heads;
}

/** [batch, length, heads · size] as [batch, heads, length, size]. */
export function splitHeads(x: Tensor, size: number): Tensor {
  return x.unflatten(-1, [-1, size]).transpose(1, 2);
}

/** [batch, heads, length, size] as [batch, length, heads · size]. */
export function joinHeads(x: Tensor): Tensor {
  return x.transpose(1, 2).flatten(-2);
}
