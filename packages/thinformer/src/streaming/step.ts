/** Steps of decoding: how a state takes in new tokens. */

import { arange, cat, scaledDotProductAttention, where, type Tensor } from "@x/tensor";
import { withUpdates } from "@x/tensor/nn";
import { isThere, withBlock } from "./coresets.js";
import {
  joined,
  part,
  pastSize,
  replaced,
  type Entries,
  type ThinformerState,
  type Tokens,
} from "./state.js";
import type { Level, Tower } from "./tower.js";

function attend(query: Tensor, { keys, values, weights }: Entries, isVisible: Tensor): Tensor {
  const logarithms = weights.log().unsqueeze(1).unsqueeze(1);
  const mask = where(isVisible, logarithms, -Infinity);
  return scaledDotProductAttention(query, keys, values, { scale: 1, mask, enableGqa: true });
}

/** The largest magnitude in values where a condition [tokens] holds, or `largest`. */
export function grown(largest: Tensor, value: Tensor, condition: Tensor | null): Tensor {
  const magnitude = value.abs().amax(3);
  const own = condition === null ? magnitude : where(condition, magnitude, 0);
  return own.amax(2).maximum(largest);
}

/** The attention of one token, and the state with it. */
function stepOne(tower: Tower, levels: readonly Level[], tokens: Tokens, state: ThinformerState) {
  const { blockSize } = tower.options;
  const past = pastSize(levels);
  const length = state.length.detach();
  const place = length.remainder(blockSize);
  const blocks = length.floorDivide(blockSize);
  const isComplete = place.eq(0).logicalAnd(length.gt(0)).cast("int32");
  let entries: Entries = state;
  if (levels.length > 0) {
    const own = part(state, past, blockSize);
    const block = blocks.sub(1).clamp(0, null);
    entries = withBlock(tower, levels, entries, own, block, state.largest, isComplete);
  }
  const token = { keys: tokens.key, values: tokens.value, weights: tokens.takesPart };
  entries = replaced(entries, token, place.add(past));
  const largest = grown(state.largest, tokens.value, null);
  state.keys.assign(entries.keys);
  state.values.assign(entries.values);
  state.weights.assign(entries.weights);
  state.length.assign(length.add(1));
  // What follows depends on the new state only, which is stored whenever the result is computed.
  const last = state.length.sub(1);
  const isPast = arange(blockSize, { dtype: "int32" }).le(last.remainder(blockSize));
  const visible =
    levels.length === 0 ? isPast : cat([isThere(levels, last.floorDivide(blockSize)), isPast], 0);
  return withUpdates(attend(tokens.query, state, visible), [[state.largest, largest]]);
}

/**
 * The attention of up to a block of tokens, and the state with them: at most one block is completed on
 * the way. Tokens before its end see the coresets as they were, those behind it the new ones.
 */
function stepSome(tower: Tower, levels: readonly Level[], tokens: Tokens, state: ThinformerState) {
  const { blockSize } = tower.options;
  const past = pastSize(levels);
  const count = tokens.key.shape[2]!;
  const length = state.length.detach();
  // A block that is full stays one until there is a token behind it.
  const block = length.sub(1).clamp(0, null).floorDivide(blockSize);
  const start = length.sub(block.mul(blockSize));
  const token = { keys: tokens.key, values: tokens.value, weights: tokens.takesPart };
  const own = part(state, past, blockSize);
  const two = replaced(joined(own, own), token, start);
  const isComplete = start.add(count).gt(blockSize).cast("int32");
  const place = arange(count, { dtype: "int32" }).add(start);
  const isBehind = place.ge(blockSize);
  const inside = grown(state.largest, tokens.value, isBehind.logicalNot());

  const columns = arange(2 * blockSize, { dtype: "int32" });
  const rows = place.unsqueeze(1);
  const sameBlock = columns.ge(blockSize).eq(isBehind.unsqueeze(1));
  const seen = [columns.le(rows).logicalAnd(sameBlock)];
  const read = [two];
  let after: Entries | null = null;
  if (levels.length > 0) {
    const before = part(state, 0, past);
    const full = part(two, 0, blockSize);
    after = withBlock(tower, levels, before, full, block, inside, isComplete);
    const behind = isBehind.unsqueeze(1);
    seen.push(isThere(levels, block).logicalAnd(behind.logicalNot()));
    seen.push(isThere(levels, block.add(1)).logicalAnd(behind));
    read.push(before, after);
  }
  const shape = [count, 2 * blockSize + (read.length - 1) * past];
  const visible = seen.length === 1 ? seen[0]! : cat(seen, 1);
  const output = attend(tokens.query, joined(...read), visible.expand(shape));
  const from = isComplete.mul(blockSize);
  const rest = {
    keys: two.keys.dynamicSlice(2, from, blockSize),
    values: two.values.dynamicSlice(2, from, blockSize),
    weights: two.weights.dynamicSlice(1, from, blockSize),
  };
  const next = after === null ? rest : joined(after, rest);
  return withUpdates(output, [
    [state.keys, next.keys],
    [state.values, next.values],
    [state.weights, next.weights],
    [state.largest, grown(state.largest, tokens.value, null)],
    [state.length, length.add(count)],
  ]);
}

/** The attention of the next tokens, one or more; updates the state. */
export function stepTokens(
  tower: Tower,
  levels: readonly Level[],
  tokens: Tokens,
  state: ThinformerState,
): Tensor {
  const { blockSize } = tower.options;
  const count = tokens.key.shape[2]!;
  if (count === 1) return stepOne(tower, levels, tokens, state);
  const outputs: Tensor[] = [];
  for (let start = 0; start < count; start += blockSize) {
    const length = Math.min(blockSize, count - start);
    const piece: Tokens = {
      query: tokens.query.narrow(2, start, length),
      key: tokens.key.narrow(2, start, length),
      value: tokens.value.narrow(2, start, length),
      takesPart: tokens.takesPart.narrow(1, start, length),
    };
    const step = length === 1 ? stepOne : stepSome;
    outputs.push(step(tower, levels, piece, state));
  }
  return outputs.length === 1 ? outputs[0]! : cat(outputs, 2);
}
