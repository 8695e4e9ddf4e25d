/** The positions of the tokens of a call: only real tokens count. */

import { arange, stack, where, type Tensor } from "@x/tensor";
import { LearnedPositionalEncoding, SinusoidalPositionalEncoding, type Update } from "@x/tensor/nn";
import type { TransformerConfig } from "../config/transformer-config.js";
import type { ModelState } from "./language-model.js";

/** What is added to embeddings. */
export type PositionEncoding = LearnedPositionalEncoding | SinusoidalPositionalEncoding;

/** What a model adds to its embeddings, if anything. */
export function makePositions(config: TransformerConfig): PositionEncoding | null {
  const { positions, maxSeqLen, dModel } = config;
  if (positions === "learned") return new LearnedPositionalEncoding(maxSeqLen, dModel);
  return positions === "sinusoidal" ? new SinusoidalPositionalEncoding(dModel) : null;
}

/** Positions, and how the state goes on. */
export interface CountedPositions {
  /** int32 [batch, length]; `null` for 0, 1, 2 … in all sequences. */
  readonly positions: Tensor | null;
  readonly updates: readonly Update[];
}

/** Counts the real tokens of a call and of those before. */
export function countPositions(
  length: number,
  keyMask: Tensor | null,
  state: ModelState | null,
): CountedPositions {
  const index = arange(length, { dtype: "int32" });
  const counted = keyMask?.cumsum(1) ?? null;
  if (state === null) {
    if (counted === null) return { positions: null, updates: [] };
    return { positions: where(keyMask!, counted.sub(1), index), updates: [] };
  }
  const before = state.position.detach().unsqueeze(-1);
  const after = before.add(counted ?? index.add(1));
  return {
    positions: counted === null ? after.sub(1) : after.sub(1).maximum(0),
    updates: [[state.position, after.narrow(1, length - 1, 1).squeeze(1)]],
  };
}

/** `x` [batch, length, dModel] with the encoding of positions, or of 0, 1, 2 …, added. */
export function addPositions(
  x: Tensor,
  encoding: PositionEncoding,
  positions: Tensor | null,
): Tensor {
  if (positions === null) return encoding.forward(x);
  if (encoding instanceof LearnedPositionalEncoding) {
    return x.add(encoding.weight.take(positions, 0));
  }
  const angles = positions.float().unsqueeze(-1).mul(encoding.frequencies);
  const waves = stack([angles.sin(), angles.cos()], -1).flatten(-2);
  return x.add(encoding.size % 2 === 1 ? waves.slice("...", [0, encoding.size]) : waves);
}
