/** Causal local attention over the parts of a sequence, with a ring of keys and values as its memory. */

import type { Tensor } from "@x/tensor";
import type { Update } from "@x/tensor/nn";
import { arange, cat, scaledDotProductAttention, where, zeros } from "../engine.js";
import { nextOf, type Advance, type Heads, type Kept } from "../state.js";
import { attendWindows, ownScore, windowsAround, type WindowRules } from "./windows.js";

/**
 * Keys and values of the last windows: that of position p stands in place p modulo the number of
 * places, which is what a query may see at most.
 */
export interface Ring extends Kept {
  /** How many tokens were seen; int32 []. */
  readonly position: Tensor;
}

/** Attends from the next tokens, one or more; `mask` is bool [batch, tokens] or `null`. */
export function advanceRing(
  tokens: Heads,
  ring: Ring,
  mask: Tensor | null,
  rules: WindowRules,
): Advance {
  const attend = tokens[0].shape[2] === 1 ? attendToRing : attendInWindows;
  return attend(tokens, ring, mask, rules);
}

/** One token: its key is written to its place first. */
function attendToRing(token: Heads, ring: Ring, mask: Tensor | null, rules: WindowRules): Advance {
  const { windowSize, lookBackward, exactWindowsize, sharedQk, dropoutP } = rules;
  const places = ring.keys.shape[2]!;
  // The numbers of before, whatever becomes of the state.
  const position = ring.position.detach();
  const place = position.remainder(places);
  // What follows reads the new ring only, so that it is written where it is.
  for (const [kept, next, axis] of nextOf(ring, token, mask)) {
    kept.assign(kept.dynamicUpdate(axis, next, place));
  }
  const age = position.sub(arange(places, { dtype: "int32" })).remainder(places);
  const inWindow = exactWindowsize ? 0 : position.remainder(windowSize);
  const isNear = age.le(position).logicalAnd(age.sub(inWindow).le(lookBackward * windowSize));
  let visible = isNear.unsqueeze(0);
  if (ring.mask) visible = visible.logicalAnd(ring.mask);
  if (sharedQk) visible = where(visible, where(age.eq(0), ownScore, 0), -Infinity);
  const output = scaledDotProductAttention(token[0], ring.keys, ring.values, {
    mask: visible.unsqueeze(1).unsqueeze(1),
    enableGqa: true,
    dropoutP,
  });
  return { output, updates: [] };
}

/** Several tokens: with what is remembered they are whole windows once more. */
function attendInWindows(
  heads: Heads,
  ring: Ring,
  mask: Tensor | null,
  rules: WindowRules,
): Advance {
  const { windowSize } = rules;
  const { position } = ring;
  const [q] = heads;
  const tokens = q.shape[2]!;
  const places = windowsAround(rules) * windowSize;
  const before = places - windowSize;
  // The first token may stand anywhere in its window, so there may be one window more than needed.
  const length = Math.ceil((tokens + windowSize - 1) / windowSize) * windowSize;
  const inWindow = position.remainder(windowSize);
  const order = arange(places, { dtype: "int32" });
  const past = order.add(position).remainder(places);
  const remembered = order.sub(position.add(tokens)).remainder(places);
  // Index `places` of the whole is `position`; windows begin some windows before its own.
  const start = inWindow.neg().add(windowSize);
  const updates: Update[] = [];
  // The remembered and the new, in order, from the start of a window on.
  const [keys, values, masks] = nextOf(ring, heads, mask).map(([kept, next, axis]) => {
    const rest = zeros(next.shape.with(axis, length - tokens), { dtype: next.dtype });
    const whole = cat([kept.take(past, axis), next, rest], axis);
    updates.push([kept, whole.narrow(axis, tokens, places).take(remembered, axis)]);
    return whole.dynamicSlice(axis, start, before + length);
  }) as [Tensor, Tensor, Tensor?];
  const place = arange(before + length, { dtype: "int32" }).add(position.sub(inWindow).sub(before));
  const isThere = place.ge(0).unsqueeze(0);
  const visible = masks?.logicalAnd(isThere) ?? isThere;
  const queries = zeros(q.shape.with(2, length)).dynamicUpdate(2, q, inWindow);
  const output = attendWindows(queries, keys, values, visible, null, rules);
  return { output: output.dynamicSlice(2, inWindow, tokens), updates };
}
