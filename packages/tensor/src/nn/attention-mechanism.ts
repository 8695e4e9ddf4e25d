/** What every attention mechanism offers, so that models can take any of them. */

import type { Device } from "../device/device.js";
import type { Value } from "../graph/node.js";
import { peek } from "../tensor/peek.js";
import { copyOf } from "../tensor/reserve.js";
import type { Tensor } from "../tensor/tensor.js";

/** What a mechanism is asked for besides queries, keys and values. */
export interface MechanismOptions {
  /** Whether a query sees only keys up to its own place; the last query sees all. Default false. */
  readonly isCausal?: boolean;
  /** Bool `[batch, keys]`: true where a key takes part, false for padding. Default: all do. */
  readonly keyMask?: Tensor | null;
  /** The probability with which attention weights are dropped; 0 outside training. Default 0. */
  readonly dropout?: number;
}

/** Options of a step of decoding. */
export interface StepOptions {
  /** Bool `[batch, tokens]`: true where a new token takes part, false for padding. */
  readonly keyMask?: Tensor | null;
}

/** For what a decode state is made. */
export interface StateOptions {
  /** How many sequences are decoded at once. */
  readonly batch: number;
  /** Heads of the keys and values. */
  readonly heads: number;
  /** Size of queries and keys. */
  readonly headDim: number;
  /** Size of values. Default: `headDim`. */
  readonly valueDim?: number;
  /** How many tokens the state must be able to hold, where that matters. */
  readonly capacity: number;
  /** Whether steps may come with a key mask. Default false. */
  readonly masked?: boolean;
  /** Where the state lives; the current device unless given. */
  readonly device?: Device;
}

/**
 * What a mechanism remembers of the tokens so far: a plain object of tensors, scalars that all
 * sequences share or with the sequences along the first axis. A step updates them in place. Save it as any named tensors (`saveSafetensors`), go on from what `loadSafetensors` gives
 * (as an object), and branch with {@link forkState}.
 */
export type AttentionState = Readonly<Record<string, Tensor>>;

/**
 * A way to compute attention. Queries have the shape `[batch, heads, queries, headDim]`, keys
 * `[batch, keyHeads, keys, headDim]`, values `[batch, keyHeads, keys, valueDim]`; the result
 * `[batch, heads, queries, valueDim]`. Mechanisms that take fewer key heads than heads share each
 * among consecutive heads.
 *
 * One with `initState` and `step` decodes: steps over the parts of a sequence, in any sizes, give
 * what one causal `forward` over the whole gives.
 */
export interface AttentionMechanism<State extends AttentionState = AttentionState> {
  /**
   * Whether masked padding before a sequence changes its results, such as with blocks of tokens that
   * begin at fixed places. Default false.
   */
  readonly dependsOnPadding?: boolean;
  /** The attention of a whole sequence. */
  forward(query: Tensor, key: Tensor, value: Tensor, options?: MechanismOptions): Tensor;
  /** The state before the first token. */
  initState?(options: StateOptions): State;
  /** The causal attention of the next tokens, one or more; updates the state in place. */
  step?(query: Tensor, key: Tensor, value: Tensor, state: State, options?: StepOptions): Tensor;
}

/** How many tokens a state holds, by the value of its length, as far as it is known without reading. */
const lengths = new WeakMap<Value, number>();

/**
 * The number that the scalar `length` of a state stands for, if it is known without reading it: for
 * mechanisms, which may refuse a step too many, or do less where they know that nothing else is due.
 *
 * @example
 * ```ts
 * const length = tensor(3, { dtype: "int32" });
 * console.log(knownLength(length), knownLength(length.add(1))); // → 3 null
 * ```
 */
export function knownLength(length: Tensor): number | null {
  return lengths.get(length.value) ?? peek(length)?.[0] ?? null;
}

/**
 * Remembers what number the scalar `length` of a state stands for, until it is assigned another.
 *
 * @example
 * ```ts
 * const length = tensor(3, { dtype: "int32" });
 * length.assign(length.add(2));
 * rememberLength(length, 5);
 * console.log(knownLength(length)); // → 5
 * ```
 */
export function rememberLength(length: Tensor, number: number): void {
  lengths.set(length.value, number);
}

/**
 * An independent copy of a decode state, to go on from one point in two ways.
 *
 * @param rows int32 `[sequences]`: from which sequence of the state each of the copy goes on, as beams
 * do; there may be more of them, or fewer. Default: each from itself
 * @example
 * ```ts
 * const attention = new SoftmaxAttention();
 * const state = attention.initState({ batch: 1, heads: 1, headDim: 2, capacity: 8 });
 * attention.step(ones([1, 1, 3, 2]), ones([1, 1, 3, 2]), ones([1, 1, 3, 2]), state);
 *
 * const other = forkState(state);
 * const token = ones([1, 1, 1, 2]);
 * attention.step(token, token, token, state);
 * console.log(await state.length.item(), await other.length.item()); // → 4 3
 * ```
 *
 * @example Three sequences that go on from one
 * ```ts
 * const state = new SoftmaxAttention().initState({ batch: 1, heads: 1, headDim: 2, capacity: 8 });
 * const beams = forkState(state, zeros([3], { dtype: "int32" }));
 * console.log(beams.keys.shape, beams.length.shape); // → [ 3, 1, 8, 2 ] []
 * ```
 */
export function forkState<State extends AttentionState>(
  state: State,
  rows: Tensor | null = null,
): State {
  const entries = Object.entries(state).map(([name, tensor]) => {
    const isShared = rows === null || tensor.rank === 0;
    const copy = copyOf(isShared ? tensor : tensor.indexSelect(0, rows));
    const length = tensor.rank === 0 ? knownLength(tensor) : null;
    if (length !== null) rememberLength(copy, length);
    return [name, copy] as const;
  });
  // The entries have the names of the state they were made from.
  return Object.fromEntries(entries) as unknown as State;
}
