/** Sequences of vectors: their heads and their padding. */

import type { Tensor } from "@x/tensor";
import { checkNumbers, multipleOf } from "./engine.js";
import { checkCounts } from "./checks.js";

/** The size of a head, given or a part of `dim`. */
export function headSize(
  op: string,
  dim: number,
  heads: number,
  dimHead: number | null = null,
): number {
  if (dimHead === null) checkNumbers(op, multipleOf(heads, "heads"), { dim });
  else checkCounts(op, { dimHead });
  return dimHead ?? dim / heads;
}

/** [batch, length, heads · size] as [batch, heads, length, size]. */
export function splitHeads(x: Tensor, size: number): Tensor {
  return x.unflatten(-1, [-1, size]).transpose(1, 2);
}

/** [batch, heads, length, size] as [batch, length, heads · size]. */
export function joinHeads(x: Tensor): Tensor {
  return x.transpose(1, 2).flatten(-2);
}

/** `x` of [batch, length, size] with zeros where a mask, bool [batch, length], is false. */
export function withoutPadding(x: Tensor, mask: Tensor | null): Tensor {
  return mask === null ? x : x.where(mask.unsqueeze(-1), 0);
}
