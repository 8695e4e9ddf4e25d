/** Linear attention for models that take any attention. */

import type { Tensor } from "@x/tensor";
import type { AttentionMechanism, MechanismOptions, StateOptions, StepOptions } from "@x/tensor/nn";
import { dropout as drop, withUpdates } from "../engine.js";
import { causalLinearAttn } from "../attention/causal-linear-attn.js";
import { linearAttn } from "../attention/linear-attn.js";
import { advanceSums, emptySums, type Sums } from "../attention/linear-memory.js";
import { checkSizes, checkStep } from "../state.js";

const owner = "LinearAttention";

/** What linear attention remembers of the tokens so far: sums, see `featureAttention`. */
export type LinearAttentionState = Sums;

/**
 * Linear attention as a mechanism for models that take any attention: {@link causalLinearAttn} where
 * it is causal, else {@link linearAttn}. Its decode state is one matrix and some sums a head, however
 * many tokens were seen. Dropout falls on what is read.
 *
 * @example
 * ```ts
 * const attention = new LinearAttention();
 * const x = ones([1, 2, 3, 4]);
 * console.log(attention.forward(x, x, x, { isCausal: true }).shape); // → [ 1, 2, 3, 4 ]
 *
 * const state = attention.initState({ batch: 1, heads: 2, headDim: 4 });
 * const token = ones([1, 2, 1, 4]);
 * await attention.step(token, token, token, state).realize();
 * const y = attention.step(token, token, token, state);
 * console.log(await y.mean().item(), state.keyValues.shape); // → 1 [ 1, 2, 4, 4 ]
 * ```
 */
export class LinearAttention implements AttentionMechanism<LinearAttentionState> {
  /**
   * The attention of a whole sequence. A query that sees no key gets 0.
   *
   * @throws XError `shape` if the tensors or the mask do not fit each other
   */
  forward(query: Tensor, key: Tensor, value: Tensor, options: MechanismOptions = {}): Tensor {
    const { isCausal = false, keyMask: kvMask = null, dropout = 0 } = options;
    const attend = isCausal ? causalLinearAttn : linearAttn;
    return drop(attend(query, key, value, { kvMask }), { p: dropout });
  }

  /** The memory of nothing. It has room for any number of tokens, whatever the capacity. */
  initState(options: Omit<StateOptions, "capacity"> & { capacity?: number }): LinearAttentionState {
    return emptySums(checkSizes(owner, options));
  }

  /**
   * The causal attention of the next tokens. The state changes when the result, or anything that
   * depends on it, is computed.
   *
   * @throws XError `shape` if the tensors, the mask or the state do not fit each other
   */
  step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: LinearAttentionState,
    options: StepOptions = {},
  ): Tensor {
    const heads = [query, key, value] as const;
    const { keyMask = null } = options;
    checkStep(owner, heads, keyMask, state, this);
    const { output, updates } = advanceSums(heads, state, keyMask);
    return withUpdates(output, updates);
  }
}

/**
 * {@link LinearAttention} for models that take any attention.
 *
 * @example
 * ```ts
 * const attention = linearAttention();
 * const x = ones([1, 2, 3, 4]);
 * console.log(attention.forward(x, x, x).shape); // → [ 1, 2, 3, 4 ]
 * ```
 */
export function linearAttention(): LinearAttention {
  return new LinearAttention();
}
