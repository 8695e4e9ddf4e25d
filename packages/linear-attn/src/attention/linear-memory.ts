/** Causal linear attention over the parts of a sequence. */

import {
  arange,
  cat,
  emptyFeatureAttentionState,
  featureAttention,
  zeros,
  type Device,
  type FeatureAttentionState,
  type Tensor,
} from "@x/tensor";
import type { Update } from "@x/tensor/nn";

/** The keys of the bucket that is not full: no query sees them yet. */
export interface Bucket {
  /** [batch, keyHeads, bucketSize, d], the first places of which are taken. */
  readonly keys: Tensor;
  /** [batch, keyHeads, bucketSize, e] */
  readonly values: Tensor;
  /** Bool [batch, bucketSize]: which of them take part; `null` where all do. */
  readonly mask: Tensor | null;
}

/** What is remembered of the keys so far. */
export interface LinearMemory {
  readonly sums: FeatureAttentionState;
  /** `null` without a blind spot. */
  readonly bucket: Bucket | null;
  /** How many tokens were seen; int32 []. */
  readonly position: Tensor;
}

/** What is attended to, and what the memory is about to become, its position apart. */
export interface LinearAdvance {
  readonly output: Tensor;
  readonly updates: readonly Update[];
}

/** The names of the sums, in the order in which a state lists them. */
const sumNames = ["keyValues", "keys", "maximum", "values", "count"] as const;

/** The sums over no keys. */
export function emptySums(
  batch: number,
  keyHeads: number,
  size: number,
  valueSize: number,
  device: Device,
): FeatureAttentionState {
  return emptyFeatureAttentionState({ batch, keyHeads, features: size, valueSize }, { device });
}

/** Attends from the next tokens, one or more; `mask` is bool [batch, tokens] or `null`. */
export function advanceMemory(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  memory: LinearMemory,
  mask: Tensor | null,
): LinearAdvance {
  const { sums, bucket } = memory;
  return bucket === null
    ? advanceSums(q, k, v, sums, mask)
    : advanceBuckets(q, k, v, { ...memory, bucket }, mask);
}

/** The same without a blind spot. */
export function advanceSums(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  sums: FeatureAttentionState,
  mask: Tensor | null,
): LinearAdvance {
  const { output, state } = featureAttention(q, k, v, {
    features: "exponential",
    causal: true,
    state: sums,
    ...(mask && { keyMask: mask }),
  });
  return { output, updates: sumUpdates(sums, state) };
}

function advanceBuckets(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { sums, bucket, position }: LinearMemory & { readonly bucket: Bucket },
  mask: Tensor | null,
): LinearAdvance {
  const size = bucket.keys.shape[2]!;
  const [batch, , tokens] = q.shape as [number, number, number];
  const waiting = position.remainder(size);
  // The waiting keys and the new ones behind them. There are places for another bucket, so that one
  // can be cut out wherever the last full one ends.
  const places = 2 * size + tokens;
  const join = (old: Tensor, next: Tensor, axis: number): Tensor => {
    const rest = [...old.shape];
    rest[axis] = places - size;
    const room = zeros(rest, { dtype: old.dtype });
    return cat([old, room], axis).dynamicUpdate(axis, next, waiting);
  };
  const full = (upTo: Tensor): Tensor => upTo.floorDivide(size).mul(size);
  const taken = full(waiting.add(tokens));
  const keys = join(bucket.keys, k, 2);
  const values = join(bucket.values, v, 2);
  const masks = bucket.mask && mask ? join(bucket.mask, mask, 1) : null;
  const isFull = arange(places, { dtype: "int32" }).lt(taken);
  const { output, state } = featureAttention(q, keys, values, {
    features: "exponential",
    mask: full(waiting.add(arange(tokens, { dtype: "int32" }))).sub(1),
    keyMask: masks?.logicalAnd(isFull) ?? isFull.expand([batch, places]),
    state: sums,
  });
  const updates: Update[] = [
    ...sumUpdates(sums, state),
    [bucket.keys, keys.dynamicSlice(2, taken, size)],
    [bucket.values, values.dynamicSlice(2, taken, size)],
  ];
  if (bucket.mask && masks) updates.push([bucket.mask, masks.dynamicSlice(1, taken, size)]);
  return { output, updates };
}

/** The sums, and the numbers that they are to get. */
function sumUpdates(sums: FeatureAttentionState, next: FeatureAttentionState): Update[] {
  return sumNames.map((name) => [sums[name], next[name]] as const);
}
