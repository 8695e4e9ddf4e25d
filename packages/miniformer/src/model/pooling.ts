/** From results for every position to one for the sequence. */

import { arange, where, type Tensor } from "@x/tensor";
import type { PoolingKind } from "../config/fields.js";

/**
 * One vector for each sequence, [batch, size], of those of its positions [batch, length, size].
 *
 * @param keyMask bool [batch, length], true for real positions; `null` if all are
 */
export function pool(x: Tensor, kind: PoolingKind, keyMask: Tensor | null): Tensor {
  if (kind === "first" || kind === "last") return positionOf(x, kind, keyMask);
  if (keyMask === null) return kind === "max" ? x.amax(1) : x.mean(1);
  const isReal = keyMask.unsqueeze(-1);
  if (kind === "max") return where(isReal, x, -Infinity).amax(1);
  return where(isReal, x, 0).sum(1).div(isReal.sum(1).maximum(1).float());
}

/** The vectors of the first or last real position. */
export function positionOf(x: Tensor, kind: "first" | "last", keyMask: Tensor | null): Tensor {
  const [batch, length, size] = x.shape as [number, number, number];
  const isLast = kind === "last";
  if (keyMask === null) return x.narrow(1, isLast ? length - 1 : 0, 1).squeeze(1);
  const index = arange(length, { dtype: "int32" });
  const place = isLast
    ? where(keyMask, index, 0).amax(1)
    : where(keyMask, index, length - 1).amin(1);
  return x.gather(1, place.reshape([batch, 1, 1]).expand([batch, 1, size])).squeeze(1);
}
