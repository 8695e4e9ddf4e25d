/** Causal linear attention over the parts of a sequence. */

import type { FeatureAttentionState, Tensor } from "@x/tensor";
import type { AttentionState, Update } from "@x/tensor/nn";
import { arange, cat, emptyFeatureAttentionState, featureAttention, zeros } from "../engine.js";
import { nextOf, type Advance, type Heads, type Kept, type StateSizes } from "../state.js";

/** The sums of `featureAttention` over the keys so far. */
export type Sums = AttentionState & FeatureAttentionState;

/** The sums over no keys. */
export function emptySums({ batch, heads, headDim, valueDim, device }: Required<StateSizes>): Sums {
  const sizes = { batch, keyHeads: heads, features: headDim, valueSize: valueDim };
  return { ...emptyFeatureAttentionState(sizes, { device }) };
}

/** Attends from the next tokens, one or more; `mask` is bool [batch, tokens] or `null`. */
export function advanceSums([q, k, v]: Heads, sums: Sums, mask: Tensor | null): Advance {
  const { output, state } = featureAttention(q, k, v, {
    features: "exponential",
    causal: true,
    state: sums,
    ...(mask && { keyMask: mask }),
  });
  return { output, updates: sumUpdates(sums, state) };
}

/**
 * The same with a blind spot: `bucket` are the keys of the bucket that is not full, which no query
 * sees yet, in the first of its places; `position` is how many tokens were seen, int32 [].
 */
export function advanceBuckets(
  heads: Heads,
  sums: Sums,
  bucket: Kept,
  position: Tensor,
  mask: Tensor | null,
): Advance {
  const size = bucket.keys.shape[2]!;
  const [q] = heads;
  const [batch, , tokens] = q.shape as [number, number, number];
  const waiting = position.remainder(size);
  const full = (upTo: Tensor): Tensor => upTo.floorDivide(size).mul(size);
  const taken = full(waiting.add(tokens));
  // The waiting keys and the new ones behind them. There are places for another bucket, so that one
  // can be cut out wherever the last full one ends.
  const places = 2 * size + tokens;
  const updates: Update[] = [];
  const [keys, values, masks] = nextOf(bucket, heads, mask).map(([kept, next, axis]) => {
    const room = zeros(kept.shape.with(axis, places - size), { dtype: kept.dtype });
    const joined = cat([kept, room], axis).dynamicUpdate(axis, next, waiting);
    updates.push([kept, joined.dynamicSlice(axis, taken, size)]);
    return joined;
  }) as [Tensor, Tensor, Tensor?];
  const isFull = arange(places, { dtype: "int32" }).lt(taken);
  const { output, state } = featureAttention(q, keys, values, {
    features: "exponential",
    mask: full(waiting.add(arange(tokens, { dtype: "int32" }))).sub(1),
    keyMask: masks?.logicalAnd(isFull) ?? isFull.expand([batch, places]),
    state: sums,
  });
  return { output, updates: [...updates, ...sumUpdates(sums, state)] };
}

/** The sums, and the numbers that they are to get. */
function sumUpdates(sums: Sums, next: FeatureAttentionState): Update[] {
  return Object.entries(next).map(([name, sum]: [string, Tensor]) => [sums[name]!, sum]);
}
