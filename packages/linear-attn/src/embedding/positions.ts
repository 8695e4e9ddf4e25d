/** Which positions an input has. */

import { arange, type Tensor } from "@x/tensor";
import type { PositionOptions } from "@x/tensor/nn";
import { checkArgument, checkSequence } from "../checks.js";

/**
 * The length of an input [batch, length, dim], checked together with an offset that is known against
 * the number of positions.
 */
export function checkLength(
  owner: string,
  x: Tensor,
  maxSeqLen: number,
  { offset }: PositionOptions,
): number {
  checkSequence(owner, "input", x, null);
  const length = x.shape[1]!;
  const known = typeof offset === "number" ? offset : 0;
  checkArgument(
    owner,
    known >= 0 && known + length <= maxSeqLen,
    () =>
      `there are ${maxSeqLen} positions, got ${length} from position ${known} on. Make maxSeqLen larger or cut the input.`,
  );
  return length;
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
