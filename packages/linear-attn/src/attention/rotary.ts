/** Rotary positions from a table of sines and cosines. */

import type { Tensor } from "@x/tensor";
import { check, formatShape, formatShapes, sameShape } from "@x/tensor/checks";
import { RotaryEmbedding } from "@x/tensor/nn";

const op = "applyRotaryPosEmb";

/**
 * Queries and keys with neighbouring elements rotated in pairs: pair i at position p by the angle
 * whose sine is `sinuPos[0, p, i]` and whose cosine `sinuPos[0, p, d / 2 + i]`.
 *
 * @param q [batch, heads, n, d]
 * @param k [batch, keyHeads, n, d]
 * @param sinuPos [1, n, d], sines and then cosines
 * @throws XError `shape` if the table does not fit
 */
export function applyRotaryPosEmb(q: Tensor, k: Tensor, sinuPos: Tensor): [Tensor, Tensor] {
  const [length, size] = q.shape.slice(-2) as [number, number];
  check(
    sameShape(sinuPos.shape, [1, length, size]) && k.shape.at(-2) === length,
    "shape",
    () =>
      `${op}: the table must be ${formatShape([1, length, size])}, sines and then cosines, got ${formatShape(sinuPos.shape)} for ${formatShapes(q, k)}. Cut it to the length.`,
  );
  const rotary = new RotaryEmbedding(size);
  const [sin, cos] = sinuPos.squeeze(0).chunk(2, -1) as [Tensor, Tensor];
  return [rotary.rotate(q, { sin, cos }), rotary.rotate(k, { sin, cos })];
}
