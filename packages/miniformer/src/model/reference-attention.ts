/** Attention as the original computes it, for `compat: "reference"`. */

import { dropout, where, type Tensor } from "@x/tensor";
import type { Projections } from "./attention.js";
import type { AttentionGuide } from "./visibility.js";

/** What the original gives scores that are masked: a query that sees no key attends to all alike. */
const hidden = -1e4;

/** The weights of heads, [batch, heads, queries, keys]. */
export function referenceWeights(query: Tensor, key: Tensor, { mask }: AttentionGuide): Tensor {
  const scores = query.matmul(shared(key, query).transpose(-2, -1)).div(Math.sqrt(query.shape[3]!));
  return (mask === null ? scores : where(mask, scores, hidden)).softmax(-1);
}

/** The attention of heads. */
export function referenceAttention(
  { query, key, value }: Projections,
  guide: AttentionGuide,
  dropoutP: number,
): Tensor {
  const weights = dropout(referenceWeights(query, key, guide), { p: dropoutP });
  return weights.matmul(shared(value, query));
}

/** Keys or values for each head of the queries. */
function shared(x: Tensor, query: Tensor): Tensor {
  const times = query.shape[1]! / x.shape[1]!;
  return times === 1 ? x : x.repeatInterleave(times, 1);
}
