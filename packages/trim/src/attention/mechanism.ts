/** Cumulative linear attention for models that take any attention. */

import type { Tensor } from "@x/tensor";
import type { AttentionMechanism, MechanismOptions, StateOptions, StepOptions } from "@x/tensor/nn";
import { check, formatShape, sameShape } from "../error.js";
import { cumulativeLinearAttn } from "./cumulative-linear-attn.js";
import { emptyState, updateState, type CumulativeState } from "./state.js";

/** Options of {@link CumulativeLinearAttention}. */
export interface CumulativeLinearAttentionMechanismOptions {
  /** Factor of the output. Default 1 / √d. */
  readonly scale?: number | null;
}

/**
 * Cumulative linear attention as an attention mechanism: linear in the length, with a decode state
 * of constant size.
 *
 * @example
 * ```ts
 * const attention = new CumulativeLinearAttention();
 * const x = ones([1, 2, 3, 4]);
 * console.log(attention.forward(x, x, x, { isCausal: true }).shape); // → [ 1, 2, 3, 4 ]
 *
 * const state = attention.initState({ batch: 1, heads: 2, headDim: 4, capacity: 100 });
 * const token = ones([1, 2, 1, 4]);
 * attention.step(token, token, token, state);
 * const y = attention.step(token, token, token, state);
 * console.log(await y.mean().item(), state.store.shape); // → 4 [ 1, 2, 4, 4 ]
 * ```
 */
export class CumulativeLinearAttention implements AttentionMechanism<CumulativeState> {
  /** Factor of the output, or `null` for 1 / √d. */
  readonly scale: number | null;

  constructor(options: CumulativeLinearAttentionMechanismOptions = {}) {
    this.scale = options.scale ?? null;
  }

  /** The attention of a whole sequence; see {@link cumulativeLinearAttn}. */
  forward(query: Tensor, key: Tensor, value: Tensor, options: MechanismOptions = {}): Tensor {
    const { isCausal = false, keyMask = null, dropout = 0 } = options;
    const [k, v] = visible(key, value, keyMask);
    const call = { isCausal, scale: this.scale, enableGqa: true, dropoutP: dropout };
    return cumulativeLinearAttn(query, k, v, call).output;
  }

  /** The state before the first token. `capacity` plays no part: the state never grows. */
  initState(options: StateOptions): CumulativeState {
    return emptyState(options);
  }

  /** The causal attention of the next tokens; updates the state in place. */
  step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: CumulativeState,
    options: StepOptions = {},
  ): Tensor {
    const [k, v] = visible(key, value, options.keyMask ?? null);
    const { output, state: store } = cumulativeLinearAttn(query, k, v, {
      isCausal: true,
      scale: this.scale,
      enableGqa: true,
      kvCache: state.store.detach(),
    });
    updateState(state, store, state.position.add(key.shape.at(-2)!));
    return output;
  }
}

/** Keys and values with 0 where the mask says that a key takes no part. */
function visible(key: Tensor, value: Tensor, keyMask: Tensor | null): readonly [Tensor, Tensor] {
  if (keyMask === null) return [key, value];
  const shape = [key.shape[0]!, key.shape.at(-2)!];
  check(
    keyMask.dtype === "bool" && sameShape(keyMask.shape, shape),
    "shape",
    () =>
      `CumulativeLinearAttention: the key mask must be bool ${formatShape(shape)}, true where a key takes part, got ${keyMask.dtype} ${formatShape(keyMask.shape)}. Compare or reshape it.`,
  );
  const absent = keyMask.logicalNot().unsqueeze(1).unsqueeze(-1);
  return [key.maskedFill(absent, 0), value.maskedFill(absent, 0)];
}
