/** Checks of how far positions go. */

import type { Tensor } from "@x/tensor";
import { check, formatShape } from "@x/tensor/checks";
import type { PositionOptions } from "@x/tensor/nn";

/**
 * The length of an input [batch, length, size], checked together with an offset that is known against
 * the number of positions.
 */
export function checkLength(
  owner: string,
  x: Tensor,
  maxSeqLen: number,
  { offset = 0 }: PositionOptions,
): number {
  check(
    x.rank === 3,
    "shape",
    () =>
      `${owner}: the input must have the axes [batch, length, size], got ${formatShape(x.shape)}. Reshape it.`,
  );
  const length = x.shape[1]!;
  const known = typeof offset === "number" ? offset : 0;
  check(
    known >= 0 && known + length <= maxSeqLen,
    "argument",
    () =>
      `${owner}: there are ${maxSeqLen} positions, got ${length} from position ${known} on. Make maxSeqLen larger or cut the input.`,
  );
  return length;
}
