/** Rotations of queries and keys by their positions. */

import type { Tensor } from "@x/tensor";
import { rotatePairs } from "../engine.js";
import { checkShape } from "../checks.js";

/**
 * Queries and keys with each pair of neighbouring elements turned by the angle of its position:
 * `(a, b)` becomes `(a cos − b sin, b cos + a sin)`, so that products depend on distances only.
 *
 * @param query [batch, heads, length, dim]
 * @param key [batch, heads, length, dim]; the number of heads may be another
 * @param sinuPos sines and cosines as a `FixedPositionalEmbedding` of size `dim` gives them,
 * [1, length, dim] or one table for each sequence, [batch, length, dim]
 * @throws XError `shape` if the table does not fit
 * @example
 * ```ts
 * const q = ones([1, 2, 3, 4]);
 * const table = new FixedPositionalEmbedding(4, 16).forward(zeros([1, 3, 4]));
 * const [turned] = applyRotoryPosEmb(q, q, table);
 * console.log(await turned.at(0, 0, 0).toArray()); // → [ 1, 1, 1, 1 ]
 * ```
 *
 * @see Su et al.: RoFormer (2021)
 */
export function applyRotoryPosEmb(
  query: Tensor,
  key: Tensor,
  sinuPos: Tensor,
): [query: Tensor, key: Tensor] {
  const [tables, length, dim] = sinuPos.shape;
  const fits = [query, key].every(
    ({ rank, shape }) =>
      rank === 4 && shape[2] === length && shape[3] === dim && [1, shape[0]].includes(tables),
  );
  checkShape(
    "applyRotoryPosEmb",
    sinuPos.rank === 3 && fits,
    [query, key, sinuPos],
    (shapes) =>
      `queries and keys [batch, heads, length, dim] need a table [1, length, dim] or [batch, length, dim], got ${shapes}. Make it for these sizes.`,
  );
  const [sin, cos] = sinuPos.unsqueeze(1).chunk(2, -1) as [Tensor, Tensor];
  const turn = (x: Tensor): Tensor => rotatePairs(x, { sin, cos }, "interleaved");
  return [turn(query), turn(key)];
}
