/** Attention of windows of queries over the keys around them. */

import type { Tensor } from "@x/tensor";
import { arange, cat, ones, scaledDotProductAttention, where } from "../engine.js";

/** Which keys the queries of a window see, and how. */
export interface WindowRules {
  /** How many positions a window has. */
  readonly windowSize: number;
  /** How many windows before its own a query sees. */
  readonly lookBackward: number;
  /** How many windows after its own a query sees. */
  readonly lookForward: number;
  /** Whether a query sees no key after its own position. */
  readonly causal: boolean;
  /** Whether a causal query sees as many keys before its own wherever it stands in its window. */
  readonly exactWindowsize: boolean;
  /** Whether a query sees its own key only if it sees no other. */
  readonly sharedQk: boolean;
  /** The probability with which weights are dropped. */
  readonly dropoutP: number;
}

/** The score of a query's own key where queries are keys. */
export const ownScore = -5e4;

/** How many windows a query looks at. */
export function windowsAround({ lookBackward, lookForward }: WindowRules): number {
  return lookBackward + 1 + lookForward;
}

/**
 * Attention of whole windows. Keys begin `lookBackward` windows before the queries and end
 * `lookForward` windows after them.
 *
 * @param q [batch, heads, n, d]
 * @param k [batch, keyHeads, n + around, d]
 * @param v [batch, keyHeads, n + around, e]
 * @param visible bool [batch or 1, n + around]: keys that may be seen; `null` for all
 * @param queryMask bool [batch, n]: the others take the mean of all values around; `null` for none
 * @returns [batch, heads, n, e]
 */
export function attendWindows(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  visible: Tensor | null,
  queryMask: Tensor | null,
  rules: WindowRules,
): Tensor {
  const { windowSize, lookBackward, causal, exactWindowsize, sharedQk, dropoutP } = rules;
  const [batch, heads, length] = q.shape as [number, number, number];
  const windows = length / windowSize;
  const seen = windowsAround(rules) * windowSize;
  // Each window is a head of its own: the mask differs from window to window.
  const around = (x: Tensor): Tensor => {
    const times = heads / x.shape[1]!;
    const all = times === 1 ? x : x.repeatInterleave(times, 1);
    const apart = all.unflatten(2, [-1, windowSize]);
    // Joined rather than unfolded: the gradient is a sum of slices.
    const shifted = Array.from({ length: windowsAround(rules) }, (_, i) =>
      apart.narrow(2, i, windows),
    );
    return cat(shifted, 3).flatten(1, 2);
  };
  const perWindow = (x: Tensor): Tensor => x.unfold(-1, seen, windowSize).unsqueeze(1).unsqueeze(3);
  const perHead = (x: Tensor): Tensor =>
    x.expand([x.shape[0]!, heads, ...x.shape.slice(2)]).flatten(1, 2);

  let mask = visible && perWindow(visible);
  let isCausal = causal;
  let window: readonly [number, number] | null = null;
  if (causal && exactWindowsize) window = [windowSize * lookBackward, -1];
  if (sharedQk) {
    const own = arange(windowSize, { dtype: "int32" })
      .add(lookBackward * windowSize)
      .unsqueeze(-1);
    const key = arange(seen, { dtype: "int32" });
    mask ??= ones([1, 1, windows, 1, seen], { dtype: "bool" });
    if (causal) mask = mask.logicalAnd(key.le(own));
    if (window !== null) mask = mask.logicalAnd(key.ge(own.sub(window[0])));
    mask = where(mask, where(key.eq(own), ownScore, 0), -Infinity);
    isCausal = false;
    window = null;
  }
  const queries = q.reshape([batch, heads * windows, windowSize, -1]);
  const values = around(v);
  let output = scaledDotProductAttention(queries, around(k), values, {
    mask: mask && perHead(mask),
    isCausal,
    window,
    dropoutP,
  });
  if (queryMask !== null) {
    const isShown = perHead(queryMask.reshape([-1, 1, windows, windowSize, 1]));
    output = output.where(isShown, values.mean(-2, { keepdim: true }));
  }
  return output.reshape([batch, heads, length, -1]);
}
