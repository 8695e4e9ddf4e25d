/** Attention within windows. */

import { arange, getDevice, normalize, ones, zeros, type Tensor } from "@x/tensor";
import {
  check,
  checkHeads,
  checkKeyMask,
  checkNumbers,
  count,
  formatShape,
  formatShapes,
  sameShape,
  wholeFrom,
} from "@x/tensor/checks";
import { Dropout, Module, withUpdates, type AttentionState, type StateOptions } from "@x/tensor/nn";
import { isReference, type Compatibility } from "../compatibility.js";
import { startPosition, checkState } from "../state.js";
import { advanceRing, type Ring, type RingAdvance } from "./ring.js";
import { SinusoidalEmbeddings } from "./sinusoidal-embeddings.js";
import { attendWindows, type WindowRules } from "./windows.js";

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

/** What causal local attention remembers of the tokens so far, however many they are. */
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
    checkNumbers(owner, count, { windowSize });
    checkNumbers(owner, wholeFrom(0), { lookBackward, lookForward });
    check(
      !causal || lookForward === 0,
      "argument",
      () =>
        `${owner}: a causal query sees nothing ahead, got lookForward ${lookForward}. Leave lookForward out.`,
    );
    this.windowSize = windowSize;
    this.causal = causal;
    this.lookBackward = lookBackward;
    this.lookForward = lookForward;
    this.autopad = options.autopad ?? false;
    this.exactWindowsize = options.exactWindowsize ?? false;
    this.sharedQk = options.sharedQk ?? false;
    this.compat = isReference(owner, options.compat) ? "reference" : null;
    this.relPos = dim === null ? null : new SinusoidalEmbeddings(dim);
    this.dropout = new Dropout(dropout);
  }

  /**
   * Attends. The axes before the last two are batch and heads, or both in one.
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
    check(
      q.rank >= 2 &&
        sameShape(q.shape, k.shape) &&
        sameShape(k.shape.slice(0, -1), v.shape.slice(0, -1)),
      "shape",
      () =>
        `${owner}: expected queries and keys [..., length, d] and values [..., length, e], got ${formatShapes(q, k, v)}. Reshape them.`,
    );
    const length = q.shape.at(-2)!;
    const batch = inputMask?.shape[0] ?? 1;
    if (inputMask !== null) checkKeyMask(owner, inputMask, [batch, length]);
    const { windowSize, lookBackward, lookForward } = this;
    const missing = (windowSize - (length % windowSize)) % windowSize;
    check(
      missing === 0 || this.autopad,
      "shape",
      () =>
        `${owner}: the length must be a multiple of the window of ${windowSize}, got ${formatShape(q.shape)}. Set autopad, or pad the sequence.`,
    );
    const withHeads = (x: Tensor): Tensor => x.reshape([batch, -1, length, x.shape.at(-1)!]);
    const [query, key] = this.prepare(withHeads(q), withHeads(k), 0);
    const before = lookBackward * windowSize;
    const after = lookForward * windowSize + missing;
    // The original fills up with -1 beyond the ends.
    const around = (x: Tensor): Tensor =>
      this.compat === null
        ? x.pad([0, 0, before, after])
        : x.pad([0, 0, 0, missing]).pad([0, 0, before, after - missing], -1);
    const output = attendWindows(
      query.pad([0, 0, 0, missing]),
      around(key),
      around(withHeads(v)),
      this.visibleKeys(inputMask, length, before, after, missing),
      this.compat === null ? null : (inputMask?.pad([0, missing]) ?? null),
      this.rules,
    );
    return output.narrow(2, 0, length).reshape([...q.shape.slice(0, -1), v.shape.at(-1)!]);
  }

  /**
   * The memory of nothing. It has room for any number of tokens; with `masked` it has a tensor `mask`
   * too.
   */
  initState(options: Omit<StateOptions, "capacity">): LocalState {
    const { batch, heads, headDim, valueDim = headDim, device = getDevice() } = options;
    checkNumbers(owner, count, { batch, heads, headDim, valueDim });
    const places = (this.lookBackward + 1) * this.windowSize;
    const state = {
      keys: zeros([batch, heads, places, headDim], { device }),
      values: zeros([batch, heads, places, valueDim], { device }),
      position: startPosition(device),
    };
    const mask = (): Tensor => zeros([batch, places], { dtype: "bool", device });
    return options.masked === true ? { ...state, mask: mask() } : state;
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
    checkHeads(owner, q, k, v);
    const [batch, heads, tokens, headDim] = k.shape as [number, number, number, number];
    check(
      q.shape[2] === tokens,
      "shape",
      () => `${owner}: a step needs a query for each key, got ${formatShapes(q, k)}. Reshape them.`,
    );
    const valueDim = v.shape[3]!;
    checkState(owner, state, this.initState({ batch, heads, headDim, valueDim }));
    const { keys, values, position } = state;
    const mask = (state as AttentionState).mask ?? null;
    const inputMask = options.inputMask ?? null;
    const { output, updates } = this.advance(q, k, v, { keys, values, mask, position }, inputMask);
    return withUpdates(output, [...updates, [position, position.add(tokens)]]);
  }

  /** @internal What `step` gives, with the updates still to be made, that of the position apart. */
  advance(q: Tensor, k: Tensor, v: Tensor, ring: Ring, inputMask: Tensor | null): RingAdvance {
    check(
      this.causal && this.compat === null,
      "argument",
      () =>
        `${owner}: only causal attention can be continued, got a module with causal ${this.causal}${this.compat === null ? "" : ' and compat "reference"'}. Make it causal, without compat.`,
    );
    const shape = [q.shape[0]!, q.shape[2]!];
    check(
      inputMask === null || ring.mask !== null,
      "argument",
      () =>
        `${owner}: a mask needs a state that was made for masks, got another. Pass masked: true to initState().`,
    );
    if (inputMask !== null) checkKeyMask(owner, inputMask, shape);
    const mask = ring.mask && (inputMask ?? ones(shape, { dtype: "bool" }));
    const [query, key] = this.prepare(q, k, ring.position);
    return advanceRing({ q: query, k: key, v, mask }, ring, this.rules);
  }

  /** @internal What the windows are attended by. */
  get rules(): WindowRules {
    const { windowSize, lookBackward, lookForward, causal, exactWindowsize, sharedQk } = this;
    const dropoutP = this.dropout.training ? this.dropout.p : 0;
    return {
      ...{ windowSize, lookBackward, lookForward, causal, exactWindowsize, sharedQk },
      ...{ dropoutP },
    };
  }

  /** @internal Queries and keys as they are compared, from position `offset` on. */
  prepare(q: Tensor, k: Tensor, offset: Tensor | number): [Tensor, Tensor] {
    const { relPos } = this;
    const turn = (x: Tensor): Tensor => relPos?.rotateFrom(x, offset) ?? x;
    const key = turn(k);
    return [turn(q), this.sharedQk ? normalize(key, { dim: -1 }) : key];
  }

  /** Which keys, with those beyond the ends, may be seen: [batch or 1, …]; `null` for all. */
  private visibleKeys(
    inputMask: Tensor | null,
    length: number,
    before: number,
    after: number,
    missing: number,
  ): Tensor | null {
    if (inputMask !== null) return inputMask.pad([before, after]);
    if (before + after === 0) return null;
    const place = arange(before + length + after, { dtype: "int32" });
    // What autopad adds is visible in the original.
    const end = before + length + (this.compat === null ? 0 : missing);
    return place.ge(before).logicalAnd(place.lt(end)).unsqueeze(0);
  }
}
