/** Checks of what attention mechanisms are given. */

import { check } from "../error.js";
import { formatShape, formatShapes, sameShape } from "./shape.js";
import type { Tensor } from "./tensor.js";

/**
 * Checks that queries `[batch, heads, queries, size]`, keys `[batch, keyHeads, keys, size]` and values
 * `[batch, keyHeads, keys, valueSize]` fit each other; heads must be a multiple of keyHeads.
 */
export function checkHeads(owner: string, query: Tensor, key: Tensor, value: Tensor): void {
  const fits =
    [query, key, value].every(({ rank }) => rank === 4) &&
    query.shape[0] === key.shape[0] &&
    query.shape[1]! % key.shape[1]! === 0 &&
    query.shape[3] === key.shape[3] &&
    sameShape(key.shape.slice(0, 3), value.shape.slice(0, 3));
  check(
    fits,
    "shape",
    () =>
      `${owner}: queries, keys and values must have the axes [batch, heads, length, size] and fit each other, got ${formatShapes(query, key, value)}. Reshape them.`,
  );
}

/** Checks that a key mask, where there is one, is bool of `shape`, `[batch, keys]`. */
export function checkKeyMask(
  owner: string,
  mask: Tensor | null | undefined,
  shape: readonly number[],
): void {
  if (!mask) return;
  check(
    mask.dtype === "bool" && sameShape(mask.shape, shape),
    "shape",
    () =>
      `${owner}: the key mask must be bool ${formatShape(shape)}, true where a key takes part, got ${mask.dtype} ${formatShape(mask.shape)}. Compare or reshape it.`,
  );
}
