/** Softmax attention as a mechanism. */

import { check } from "../error.js";
import { getDevice } from "../device/current.js";
import { checkNumbers, count, finite } from "../tensor/arguments.js";
import { scaledDotProductAttention } from "../tensor/attention.js";
import { arange, fromData, ones, zeros } from "../tensor/creation.js";
import { formatShape, sameShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkHeads, checkKeyMask } from "../tensor/attention-checks.js";
import {
  knownLength,
  rememberLength,
  type AttentionMechanism,
  type AttentionState,
  type MechanismOptions,
  type StateOptions,
  type StepOptions,
} from "./attention-mechanism.js";

/** Keys and values of the tokens so far. */
export interface SoftmaxState extends AttentionState {
  /** `[batch, heads, capacity, headDim]` */
  readonly keys: Tensor;
  /** `[batch, heads, capacity, valueDim]` */
  readonly values: Tensor;
  /** How many of the `capacity` places are taken; int32 `[]`. */
  readonly length: Tensor;
}

/** Options of `SoftmaxAttention`. */
export interface SoftmaxAttentionOptions {
  /** Factor of the scores. Default 1 / √headDim. */
  readonly scale?: number;
}

/**
 * Exact attention: `softmax(scale · q kᵀ) v`. Its decode state is a cache of keys and values of
 * fixed capacity, so that nothing changes shape from step to step.
 *
 * @example
 * ```ts
 * const attention = new SoftmaxAttention();
 * const [q, k, v] = [randn([1, 2, 5, 4]), randn([1, 2, 5, 4]), randn([1, 2, 5, 4])];
 * const whole = attention.forward(q, k, v, { isCausal: true });
 *
 * const state = attention.initState({ batch: 1, heads: 2, headDim: 4, capacity: 16 });
 * const parts = [[0, 3], [3, 5]].map(([from, to]) => {
 *   const part = (x: Tensor) => x.slice("...", [from!, to!], null);
 *   return attention.step(part(q), part(k), part(v), state);
 * });
 * const difference = await cat(parts, 2).sub(whole).abs().max().item();
 * console.log(difference < 1e-5); // → true
 * ```
 *
 * @see Vaswani et al.: Attention Is All You Need (2017)
 */
export class SoftmaxAttention implements AttentionMechanism<SoftmaxState> {
  /** Factor of the scores; `null` for 1 / √headDim. */
  readonly scale: number | null;

  /** @throws XError `argument` if the scale is not a finite number */
  constructor(options: SoftmaxAttentionOptions = {}) {
    const { scale = null } = options;
    if (scale !== null) checkNumbers("SoftmaxAttention", finite, { scale });
    this.scale = scale;
  }

  /** The attention of a whole sequence. A query that sees no key gets 0. */
  forward(query: Tensor, key: Tensor, value: Tensor, options: MechanismOptions = {}): Tensor {
    const { isCausal = false, keyMask = null, dropout = 0 } = options;
    checkHeads("SoftmaxAttention", query, key, value);
    let mask: Tensor | null = null;
    if (keyMask !== null) {
      checkKeyMask("SoftmaxAttention", keyMask, [key.shape[0]!, key.shape[2]!]);
      mask = keyMask.unsqueeze(1).unsqueeze(1);
    }
    return this.attend(query, key, value, { mask, isCausal, dropoutP: dropout });
  }

  /** A cache for `capacity` tokens. */
  initState(options: StateOptions): SoftmaxState {
    const { batch, heads, headDim, valueDim = headDim, capacity, masked = false } = options;
    const { device = getDevice() } = options;
    checkNumbers("SoftmaxAttention", count, { batch, heads, headDim, valueDim, capacity });
    const state = {
      keys: zeros([batch, heads, capacity, headDim], { device }),
      values: zeros([batch, heads, capacity, valueDim], { device }),
      length: fromData(new Int32Array(1), [], { device }),
    };
    return masked ? { ...state, mask: zeros([batch, capacity], { dtype: "bool", device }) } : state;
  }

  /**
   * The attention of the next tokens: each sees those of the state, those before it and itself.
   *
   * @throws XError `argument` if the cache is full, as far as its length is known; a longer sequence
   * than that overwrites the last places
   */
  step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: SoftmaxState,
    options: StepOptions = {},
  ): Tensor {
    checkHeads("SoftmaxAttention", query, key, value);
    const [batch, , tokens] = key.shape as [number, number, number, number];
    const capacity = state.keys.shape[2]!;
    const fits = sameShape(key.shape.with(2, capacity), state.keys.shape);
    check(
      fits && query.shape[2] === tokens,
      "shape",
      () =>
        `SoftmaxAttention: a step needs a query for each key, and keys that fit the state ${formatShape(state.keys.shape)}, got queries ${formatShape(query.shape)} and keys ${formatShape(key.shape)}. Make the state for these sizes.`,
    );
    const known = knownLength(state.length);
    check(
      (known ?? 0) + tokens <= capacity,
      "argument",
      () =>
        `SoftmaxAttention: the state has room for ${capacity} tokens, got ${(known ?? 0) + tokens}. Make it with a larger capacity.`,
    );

    const start = state.length.detach();
    state.keys.assign(state.keys.dynamicUpdate(2, key, start));
    state.values.assign(state.values.dynamicUpdate(2, value, start));
    state.length.assign(start.add(tokens));
    if (known !== null) rememberLength(state.length, known + tokens);
    // What follows depends on the new state only: all of it is stored whenever the result is
    // computed, and the result can be read as long as the state stays as it is.
    const first = state.length.sub(tokens);
    const place = arange(tokens, { dtype: "int32" }).unsqueeze(-1).add(first);
    const isPast = arange(capacity, { dtype: "int32" }).le(place);
    const mask = this.remember(state, batch, tokens, start, options.keyMask ?? null);
    return this.attend(query, state.keys, state.values, {
      mask: mask === null ? isPast : isPast.logicalAnd(mask.unsqueeze(1).unsqueeze(1)),
    });
  }

  /** The mask of all places, with that of the new tokens added; `null` where the state has none. */
  private remember(
    state: SoftmaxState,
    batch: number,
    tokens: number,
    start: Tensor,
    keyMask: Tensor | null,
  ): Tensor | null {
    const mask = (state as AttentionState).mask ?? null;
    check(
      keyMask === null || mask !== null,
      "argument",
      () =>
        "SoftmaxAttention: a key mask needs a state that was made for masks, got another. Pass masked: true to initState().",
    );
    if (mask === null) return null;
    const shape = [batch, tokens];
    checkKeyMask("SoftmaxAttention", keyMask, shape);
    const part = keyMask ?? ones(shape, { dtype: "bool" });
    return mask.assign(mask.dynamicUpdate(1, part, start));
  }

  private attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    options: Parameters<typeof scaledDotProductAttention>[3],
  ): Tensor {
    const scale = this.scale === null ? {} : { scale: this.scale };
    return scaledDotProductAttention(query, key, value, { ...options, ...scale, enableGqa: true });
  }
}
