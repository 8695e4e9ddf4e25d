/** Attention within windows. */

import type { Tensor } from "@x/tensor";
import type { AttentionState, StateOptions } from "@x/tensor/nn";
import {
  checkNumbers,
  Dropout,
  Module,
  normalize,
  ones,
  wholeFrom,
  withUpdates,
} from "../engine.js";
import { checkContinues, checkCounts, checkMultiple, exactly } from "../checks.js";
import { checkCompat, type Compatibility } from "../compatibility.js";
import {
  checkSelfAttention,
  checkSizes,
  checkStep,
  emptyKept,
  nextPosition,
  startPosition,
  type Advance,
  type Heads,
} from "../state.js";
import { advanceRing, type Ring } from "./ring.js";
import { SinusoidalEmbeddings } from "./sinusoidal-embeddings.js";
import { attendWindows } from "./windows.js";

/** Options of {@link LocalAttention}. */
export interface LocalAttentionOptions {
  /** How many positions a window has. */
  readonly windowSize: number;
  /** Whether a query sees no key after its own position. Default false. */
  readonly causal?: boolean;
  /** How many windows before its own a query sees. Default 1. */
  readonly lookBackward?: number;
  /** How many windows after its own a query sees. Default 1, causal 0. */
  readonly lookForward?: number | null;
  /** The probability with which weights are dropped in training. Default 0. */
  readonly dropout?: number;
  /** Whether a length that is no multiple of the window is filled up. Default false: an error. */
  readonly autopad?: boolean;
  /**
   * Whether a causal query sees the `windowSize · lookBackward` keys before its own wherever it
   * stands, and not all of the windows. Default false.
   */
  readonly exactWindowsize?: boolean;
  /**
   * Whether queries serve as keys: they are normalised, and a query sees its own key only if it sees
   * no other. Default false.
   */
  readonly sharedQk?: boolean;
  /** Size of queries and keys, which are then rotated by their positions. Default: they are not. */
  readonly dim?: number | null;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/**
 * What causal local attention remembers of the tokens so far, however many they are. In a state that
 * was made for masks, `mask`, bool [batch, places], says which of them take part.
 */
export interface LocalState extends AttentionState {
  /** The keys of the last windows, [batch, heads, places, headDim]. */
  readonly keys: Tensor;
  /** Their values, [batch, heads, places, valueDim]. */
  readonly values: Tensor;
  /** How many tokens were seen; int32 []. */
  readonly position: Tensor;
}

/** Options of a call. */
export interface LocalAttentionCall {
  /** Bool [batch, length]: true where a position takes part. Default: all do. */
  readonly inputMask?: Tensor | null;
}

const owner = "LocalAttention";

/**
 * Softmax attention in which a query sees the keys of its own window and of some windows around it,
 * so that time and memory grow linearly with the length.
 *
 * @example
 * ```ts
 * const attention = new LocalAttention({ windowSize: 4, causal: true });
 * const x = ones([2, 3, 16, 8]);
 * console.log(attention.forward(x, x, x).shape); // → [ 2, 3, 16, 8 ]
 * ```
 *
 * @see Roy et al.: Efficient Content-Based Sparse Attention with Routing Transformers (2020)
 */
export class LocalAttention extends Module {
  /** How many positions a window has. */
  readonly windowSize: number;
  /** Whether a query sees no key after its own position. */
  readonly causal: boolean;
  /** How many windows before its own a query sees. */
  readonly lookBackward: number;
  /** How many windows after its own a query sees. */
  readonly lookForward: number;
  /** Whether a length that is no multiple of the window is filled up. */
  readonly autopad: boolean;
  /** Whether a causal query sees the same number of keys wherever it stands in its window. */
  readonly exactWindowsize: boolean;
  /** Whether queries serve as keys. */
  readonly sharedQk: boolean;
  /** `"reference"` where the original is reproduced, else `null`. */
  readonly compat: Compatibility | null;
  /** Rotates queries and keys, or `null`. */
  readonly relPos: SinusoidalEmbeddings | null;
  /** Drops weights. */
  dropout: Dropout;

  /**
   * @throws XError `argument` if a number is out of range, or `lookForward` is given together with
   * `causal`
   */
  constructor(options: LocalAttentionOptions) {
    super();
    const { windowSize, causal = false, lookBackward = 1, dim = null, dropout = 0 } = options;
    const lookForward = options.lookForward ?? (causal ? 0 : 1);
    checkCounts(owner, { windowSize });
    checkNumbers(owner, wholeFrom(0), { lookBackward, lookForward });
    if (causal) checkNumbers(owner, exactly(0), { "lookForward of causal attention": lookForward });
    this.windowSize = windowSize;
    this.causal = causal;
    this.lookBackward = lookBackward;
    this.lookForward = lookForward;
    this.autopad = options.autopad ?? false;
    this.exactWindowsize = options.exactWindowsize ?? false;
    this.sharedQk = options.sharedQk ?? false;
    this.compat = checkCompat(owner, options.compat);
    this.relPos = dim === null ? null : new SinusoidalEmbeddings(dim);
    this.dropout = new Dropout(dropout);
  }

  /**
   * Attends. The axes before the last two are batch and heads, or both in one; consecutive query heads
   * may share a key head.
   *
   * @param q queries, [..., length, d]
   * @param k keys, [..., length, d]
   * @param v values, [..., length, e]
   * @returns [..., length, e]
   * @throws XError `shape` if the tensors or the mask do not fit each other, or the length is no
   * multiple of the window and `autopad` is not set
   */
  forward(q: Tensor, k: Tensor, v: Tensor, options: LocalAttentionCall = {}): Tensor {
    const { inputMask = null } = options;
    const batch = inputMask?.shape[0] ?? 1;
    const withHeads = (x: Tensor): Tensor => x.reshape([batch, -1, ...x.shape.slice(-2)]);
    const heads = [withHeads(q), withHeads(k), withHeads(v)] as const;
    checkSelfAttention(owner, heads, inputMask);
    const length = q.shape.at(-2)!;
    const { windowSize, lookBackward, lookForward } = this;
    const missing = (windowSize - (length % windowSize)) % windowSize;
    if (!this.autopad) checkMultiple(owner, q, windowSize);
    const [query, key, value] = this.prepare(heads, 0);
    const before = lookBackward * windowSize;
    const after = lookForward * windowSize + missing;
    // The original sees -1 beyond the ends, and what autopad adds; otherwise neither is visible.
    const isOriginal = this.compat !== null;
    const around = (x: Tensor): Tensor =>
      x.pad([0, 0, 0, missing]).pad([0, 0, before, after - missing], -1);
    const seen = inputMask ?? ones([1, isOriginal ? length + missing : length], { dtype: "bool" });
    const isAll = inputMask === null && before + after === 0;
    const output = attendWindows(
      query.pad([0, 0, 0, missing]),
      around(key),
      around(value),
      isAll ? null : seen.pad([before, length + after - seen.shape[1]!]),
      isOriginal ? (inputMask?.pad([0, missing]) ?? null) : null,
      this,
    );
    return output.narrow(2, 0, length).reshape([...q.shape.slice(0, -1), v.shape.at(-1)!]);
  }

  /**
   * The memory of nothing. It has room for any number of tokens; with `masked` it has a tensor `mask`
   * too.
   */
  initState(options: Omit<StateOptions, "capacity">): LocalState {
    const sizes = checkSizes(owner, options);
    return { ...emptyKept(this.places, sizes), position: startPosition(sizes.device) };
  }

  /**
   * The attention of the next tokens, one or more, as `forward` over the whole sequence gives it;
   * `autopad` is implied. The state changes when the result, or anything that depends on it, is
   * computed.
   *
   * @param q queries, [batch, heads, tokens, d]
   * @param k keys, [batch, keyHeads, tokens, d]; consecutive query heads share a key head
   * @param v values, [batch, keyHeads, tokens, e]
   * @throws XError `shape` if a tensor does not fit; `argument` if the module is not causal or
   * reproduces the original, or a mask comes with a state that was made without
   */
  step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: LocalState,
    options: LocalAttentionCall = {},
  ): Tensor {
    const heads = [q, k, v] as const;
    const { inputMask = null } = options;
    checkStep(owner, heads, inputMask, state, this);
    const { output, updates } = this.advance(heads, state, inputMask);
    return withUpdates(output, [...updates, nextPosition(state.position, q.shape[2]!)]);
  }

  /** @internal What `step` gives, with the updates still to be made, that of the position apart. */
  advance(heads: Heads, ring: Ring, inputMask: Tensor | null): Advance {
    checkContinues(owner, this.causal, { compat: this.compat });
    return advanceRing(this.prepare(heads, ring.position), ring, inputMask, this);
  }

  /** @internal How many keys a state remembers. */
  get places(): number {
    return (this.lookBackward + 1) * this.windowSize;
  }

  /** @internal The probability with which weights are dropped now. */
  get dropoutP(): number {
    return this.dropout.training ? this.dropout.p : 0;
  }

  /** Queries and keys as they are compared, from position `offset` on, and values. */
  private prepare([q, k, v]: Heads, offset: Tensor | number): Heads {
    const turn = (x: Tensor): Tensor => this.relPos?.rotateFrom(x, offset) ?? x;
    const key = turn(k);
    return [turn(q), this.sharedQk ? normalize(key, { dim: -1 }) : key, v];
  }
}
