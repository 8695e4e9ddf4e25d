/** Which positions an input has. */

import type { Tensor } from "@x/tensor";
import type { PositionOptions } from "@x/tensor/nn";
import { arange, checkPositions } from "../engine.js";
import { checkSequence } from "../checks.js";

/**
 * The length of an input [batch, length, dim], checked together with an offset that is known against
 * the number of positions.
 */
export function checkLength(
  owner: string,
  x: Tensor,
  maxSeqLen: number,
  options: PositionOptions,
): number {
  checkSequence(owner, "input", x);
  checkPositions(owner, x, maxSeqLen, options);
  return x.shape[1]!;
}

/** The positions themselves, int32 [length]. */
export function positionsFrom(offset: number | Tensor, length: number): Tensor {
  return arange(length, { dtype: "int32" }).add(offset);
}

/** The vectors of the positions of an input, out of a table of all: [1, length, size]. */
export function vectorsFor(
  owner: string,
  x: Tensor,
  table: Tensor,
  options: PositionOptions,
): Tensor {
  const length = checkLength(owner, x, table.shape[0]!, options);
  const { offset } = options;
  const vectors =
    offset === undefined
      ? table.narrow(0, 0, length)
      : table.take(positionsFrom(offset, length), 0);
  return vectors.unsqueeze(0);
}
