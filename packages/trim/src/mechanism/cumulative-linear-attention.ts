/** Cumulative linear attention for models that take any attention. */

import { getDevice, type Tensor } from "@x/tensor";
import { checkHeads, checkKeyMask, checkNumbers, count, finite } from "@x/tensor/checks";
import {
  type AttentionMechanism,
  type MechanismOptions,
  type StateOptions,
  type StepOptions,
  withUpdates,
} from "@x/tensor/nn";
import { cumulativeLinearAttn } from "../attention/cumulative-linear-attn.js";
import { checkMemory, emptyMemory, type AttentionMemory } from "../state/cumulative-state.js";

const owner = "CumulativeLinearAttention";

/** Options of {@link CumulativeLinearAttention}. */
export interface CumulativeLinearAttentionMechanismOptions {
  /** Factor of the output. Default 1 / √(headDim · length). */
  readonly scale?: number | null;
  /**
   * The length of the sequences that a model is trained on, a whole number from 1: what is read is a sum
   * over so many keys, which the default of `scale` keeps in bounds. Default 1.
   */
  readonly length?: number;
}

/**
 * Cumulative linear attention as a mechanism for models that take any attention:
 * `y_i = scale · q_i Σ_{j ≤ m_i} k_j v_jᵀ`. Its decode state is one matrix a head, however many
 * tokens were seen.
 *
 * @example
 * ```ts
 * const attention = new CumulativeLinearAttention();
 * const x = ones([1, 2, 3, 4]);
 * console.log(attention.forward(x, x, x, { isCausal: true }).shape); // → [ 1, 2, 3, 4 ]
 *
 * const state = attention.initState({ batch: 1, heads: 2, headDim: 4 });
 * const token = ones([1, 2, 1, 4]);
 * await attention.step(token, token, token, state).realize();
 * const y = attention.step(token, token, token, state);
 * console.log(await y.mean().item(), state.store.shape); // → 4 [ 1, 2, 4, 4 ]
 * ```
 */
export class CumulativeLinearAttention implements AttentionMechanism<AttentionMemory> {
  /** Factor of the output; `null` for 1 / √(headDim · length). */
  readonly scale: number | null;
  /** The length of the sequences it is made for, which the default of the factor depends on. */
  readonly length: number;

  /** @throws XError `argument` if the scale is not a finite number, or the length no whole one from 1 */
  constructor(options: CumulativeLinearAttentionMechanismOptions = {}) {
    const { scale = null, length = 1 } = options;
    if (scale !== null) checkNumbers(owner, finite, { scale });
    checkNumbers(owner, count, { length });
    this.scale = scale;
    this.length = length;
  }

  /** The attention of a whole sequence; dropout falls on what is read. */
  forward(query: Tensor, key: Tensor, value: Tensor, options: MechanismOptions = {}): Tensor {
    const { isCausal = false, keyMask = null, dropout = 0 } = options;
    checkHeads(owner, query, key, value);
    const [k, v] = withoutMasked(key, value, keyMask);
    return cumulativeLinearAttn(query, k, v, {
      isCausal,
      scale: this.scaleFor(query),
      dropoutP: dropout,
      enableGqa: true,
    }).output;
  }

  /** The memory of nothing. It has room for any number of tokens, whatever the capacity. */
  initState(options: Omit<StateOptions, "capacity"> & { capacity?: number }): AttentionMemory {
    const { batch, heads, headDim, valueDim = headDim, device = getDevice() } = options;
    checkNumbers(owner, count, { batch, heads, headDim, valueDim });
    return emptyMemory([batch, heads, headDim, valueDim], device);
  }

  /**
   * The causal attention of the next tokens. The state changes when the result, or anything that
   * depends on it, is computed.
   */
  step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: AttentionMemory,
    options: StepOptions = {},
  ): Tensor {
    checkHeads(owner, query, key, value);
    const [batch, heads, tokens, headDim] = key.shape as [number, number, number, number];
    const { store, position } = checkMemory(owner, state, [batch, heads, headDim, value.shape[3]!]);
    const [k, v] = withoutMasked(key, value, options.keyMask ?? null);
    const { output, state: next } = cumulativeLinearAttn(query, k, v, {
      isCausal: true,
      scale: this.scaleFor(query),
      kvCache: store,
      enableGqa: true,
    });
    return withUpdates(output, [
      [store, next],
      [position, position.add(tokens)],
    ]);
  }

  private scaleFor({ shape }: Tensor): number {
    return this.scale ?? 1 / Math.sqrt(shape[3]! * this.length);
  }
}

/** Keys and values with 0 where the mask, true for keys that take part, is false. */
function withoutMasked(key: Tensor, value: Tensor, mask: Tensor | null): [Tensor, Tensor] {
  if (mask === null) return [key, value];
  checkKeyMask(owner, mask, [key.shape[0]!, key.shape[2]!]);
  const hidden = mask.logicalNot().unsqueeze(1).unsqueeze(-1);
  return [key.maskedFill(hidden, 0), value.maskedFill(hidden, 0)];
}
