/** Cumulative masks: the last key that each query sees. */

import { peek, tensor, Tensor } from "@x/tensor";
import { check, formatShape, sameShape } from "@x/tensor/checks";

/**
 * The last key that each of n queries sees, counted from 0: integers m_i with 0 ≤ m_i < n_key, in
 * any order. `[2, 0, 1]` lets query 0 see the keys 0 to 2, query 1 key 0, query 2 the keys 0 and 1.
 */
export type CumulativeMask = Tensor | ArrayLike<number>;

/** `mask` as a tensor, checked as far as its numbers are at hand. */
export function checkedMask(
  op: string,
  mask: CumulativeMask,
  queries: number,
  keys: number,
): Tensor {
  const positions = mask instanceof Tensor ? mask : fromNumbers(op, mask);
  check(
    ["int32", "uint32", "int8"].includes(positions.dtype),
    "dtype",
    () =>
      `${op}: a cumulative mask holds key positions as integers, got ${positions.dtype}. Pass int32 [n]; a bool mask of keys goes into srcKeyPaddingMask.`,
  );
  check(
    sameShape(positions.shape, [queries]),
    "shape",
    () =>
      `${op}: a cumulative mask has one entry a query, got shape ${formatShape(positions.shape)} for ${queries} queries. Pass int32 [${queries}].`,
  );
  const numbers: ArrayLike<number> = peek(positions) ?? [];
  for (let i = 0; i < numbers.length; i++) {
    const last = numbers[i]!;
    check(
      last >= 0 && last < keys,
      "argument",
      () =>
        `${op}: the mask must lie between 0 and ${keys - 1}, the last key, got ${last} for query ${i}. Name the last key that each query sees.`,
    );
  }
  return positions;
}

function fromNumbers(op: string, numbers: ArrayLike<number>): Tensor {
  const positions = Array.from(numbers);
  check(
    positions.every((n) => Number.isInteger(n)),
    "argument",
    () =>
      `${op}: a cumulative mask holds whole numbers, got ${positions.find((n) => !Number.isInteger(n))}. Name the last key that each query sees.`,
  );
  return tensor(positions, { dtype: "int32" });
}
