/** Causal local attention over the parts of a sequence, with a ring of keys and values as its memory. */

import { arange, cat, scaledDotProductAttention, where, zeros, type Tensor } from "@x/tensor";
import type { Update } from "@x/tensor/nn";
import { attendWindows, ownScore, windowsAround, type WindowRules } from "./windows.js";

/**
 * Keys and values of the last windows: that of position p stands in place p modulo the number of
 * places, which is what a query may see at most.
 */
export interface Ring {
  /** [batch, keyHeads, places, d] */
  readonly keys: Tensor;
  /** [batch, keyHeads, places, e] */
  readonly values: Tensor;
  /** Bool [batch, places]: which keys take part; `null` where all do. */
  readonly mask: Tensor | null;
  /** How many tokens were seen; int32 []. */
  readonly position: Tensor;
}

/** The next tokens: queries [batch, heads, n, d], keys and values, and bool [batch, n] or `null`. */
export interface NextTokens {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly mask: Tensor | null;
}

/** What is attended to, and what the ring is about to become, its position apart. */
export interface RingAdvance {
  readonly output: Tensor;
  readonly updates: readonly Update[];
}

/** Attends from the next tokens, one or more. */
export function advanceRing(tokens: NextTokens, ring: Ring, rules: WindowRules): RingAdvance {
  return tokens.q.shape[2] === 1
    ? attendToRing(tokens, ring, rules)
    : attendInWindows(tokens, ring, rules);
}

/** One token: its key is written to its place first. */
function attendToRing({ q, k, v, mask }: NextTokens, ring: Ring, rules: WindowRules): RingAdvance {
  const { windowSize, lookBackward, exactWindowsize, sharedQk, dropoutP } = rules;
  const places = ring.keys.shape[2]!;
  // The numbers of before, whatever becomes of the state.
  const position = ring.position.detach();
  const place = position.remainder(places);
  // What follows reads the new ring only, so that it is written where it is.
  ring.keys.assign(ring.keys.dynamicUpdate(2, k, place));
  ring.values.assign(ring.values.dynamicUpdate(2, v, place));

  const age = position.sub(arange(places, { dtype: "int32" })).remainder(places);
  const inWindow = exactWindowsize ? 0 : position.remainder(windowSize);
  const isNear = age.le(position).logicalAnd(age.sub(inWindow).le(lookBackward * windowSize));
  let visible = isNear.unsqueeze(0);
  if (ring.mask !== null && mask !== null) {
    ring.mask.assign(ring.mask.dynamicUpdate(1, mask, place));
    visible = visible.logicalAnd(ring.mask);
  }
  if (sharedQk) visible = where(visible, where(age.eq(0), ownScore, 0), -Infinity);
  const output = scaledDotProductAttention(q, ring.keys, ring.values, {
    mask: visible.unsqueeze(1).unsqueeze(1),
    enableGqa: true,
    dropoutP,
  });
  return { output, updates: [] };
}

/** Several tokens: with what is remembered they are whole windows once more. */
function attendInWindows(
  { q, k, v, mask }: NextTokens,
  ring: Ring,
  rules: WindowRules,
): RingAdvance {
  const { windowSize, lookBackward } = rules;
  const { position } = ring;
  const [batch, heads, tokens, size] = q.shape as [number, number, number, number];
  const places = windowsAround(rules) * windowSize;
  // The first token may stand anywhere in its window, so there may be one window more than needed.
  const length = Math.ceil((tokens + windowSize - 1) / windowSize) * windowSize;
  const inWindow = position.remainder(windowSize);
  const order = arange(places, { dtype: "int32" });
  const past = order.add(position).remainder(places);
  const kept = order.sub(position.add(tokens)).remainder(places);
  /** The remembered and the new, in order: those that stand in windows, and those to remember. */
  const join = (
    old: Tensor,
    next: Tensor,
    axis: number,
  ): { aligned: Tensor; remembered: Tensor } => {
    const rest = [...next.shape];
    rest[axis] = length - tokens;
    const whole = cat([old.take(past, axis), next, zeros(rest, { dtype: next.dtype })], axis);
    // Index `places` is `position`; windows begin `lookBackward` windows before its own.
    const start = inWindow.neg().add(windowSize);
    return {
      aligned: whole.dynamicSlice(axis, start, lookBackward * windowSize + length),
      remembered: whole.narrow(axis, tokens, places).take(kept, axis),
    };
  };
  const keys = join(ring.keys, k, 2);
  const values = join(ring.values, v, 2);
  const first = position.sub(inWindow).sub(lookBackward * windowSize);
  const place = arange(lookBackward * windowSize + length, { dtype: "int32" }).add(first);
  let visible = place.ge(0).unsqueeze(0);
  const updates: Update[] = [
    [ring.keys, keys.remembered],
    [ring.values, values.remembered],
  ];
  if (ring.mask !== null && mask !== null) {
    const masks = join(ring.mask, mask, 1);
    visible = visible.logicalAnd(masks.aligned);
    updates.push([ring.mask, masks.remembered]);
  }
  const queries = zeros([batch, heads, length, size]).dynamicUpdate(2, q, inWindow);
  const output = attendWindows(queries, keys.aligned, values.aligned, visible, null, rules);
  return { output: output.dynamicSlice(2, inWindow, tokens), updates };
}
