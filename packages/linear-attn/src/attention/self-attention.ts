/** Attention with global linear heads and local heads. */

import type { Device, Tensor } from "@x/tensor";
import type { AttentionState } from "@x/tensor/nn";
import {
  cat,
  checkNumbers,
  Dropout,
  getDevice,
  Linear,
  Module,
  wholeFrom,
  withUpdates,
} from "../engine.js";
import { checkArgument, checkContinues, checkCounts, checkSequence } from "../checks.js";
import { headSize, splitHeads, joinHeads } from "../sequence.js";
import { checkCompat, type Compatibility } from "../compatibility.js";
import { applyRotoryPosEmb } from "../embedding/rotary.js";
import { LocalAttention } from "../local/local-attention.js";
import {
  asPart,
  checkState,
  emptyKept,
  nextPosition,
  partOf,
  startPosition,
  type Advance,
  type Heads,
  type Kept,
} from "../state.js";
import { causalLinearAttn, featurewiseCausalLinearAttn } from "./causal-linear-attn.js";
import { linearAttn } from "./linear-attn.js";
import { advanceBuckets, advanceSums, emptySums, type Sums } from "./linear-memory.js";

/** Options of {@link SelfAttention}. */
export interface SelfAttentionOptions {
  /** Whether a position sees none after itself. Default false. */
  readonly causal?: boolean;
  /** Size of a head. Default `dim / heads`. */
  readonly dimHead?: number | null;
  /** The `bucketSize` of causal linear attention: 1 for no blind spot. Default 1. */
  readonly blindspotSize?: number;
  /** How many of the heads, the first ones, are local. Default 0. */
  readonly nLocalAttnHeads?: number;
  /** How many positions a window of the local heads has. Default 128. */
  readonly localAttnWindowSize?: number;
  /** Whether keys and values are made of a context. Default false. */
  readonly receivesContext?: boolean;
  /** The probability with which elements of the result are dropped in training. Default 0. */
  readonly dropout?: number;
  /** The probability with which weights of local heads are dropped in training. Default 0. */
  readonly attnDropout?: number;
  /**
   * Whether the local heads share one head of keys and values, and the global heads another. Default
   * false.
   */
  readonly oneKvHead?: boolean;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** Options of a call. */
export interface SelfAttentionCall {
  /** Bool [batch, length]: true for tokens, false for padding. Default: all are tokens. */
  readonly inputMask?: Tensor | null;
  /** What keys and values are made of, [batch, keys, dim], where the module receives a context. */
  readonly context?: Tensor | null;
  /** Bool [batch, keys]: the mask of the context. */
  readonly contextMask?: Tensor | null;
  /** Sines and cosines, [1 or batch, length, dimHead], by which queries and keys are rotated. */
  readonly posEmb?: Tensor | null;
  /**
   * What comes before the input, as a value: made by `initState`, updated in place by the call. Any
   * number of tokens may follow it.
   */
  readonly state?: SelfAttentionState | null;
}

/** For what a state is made. */
export interface SelfAttentionStateOptions {
  /** How many sequences are continued at once. */
  readonly batch: number;
  /** Whether calls may come with an input mask. Default false. */
  readonly masked?: boolean;
  /** Where the state lives. Default: where the parameters do. */
  readonly device?: Device;
}

/**
 * What self-attention remembers of the tokens so far, of the same size however many they are: a
 * plain object of tensors that every call updates in place.
 *
 * Global heads have `keyValues`, `keys`, `maximum`, `values` and `count`, the state of
 * `featureAttention`, and with a blind spot `bucket.keys` and `bucket.values`; local heads have
 * `local.keys` and `local.values`. A state for masks has `bucket.mask` and `local.mask` too.
 *
 * Save it as named tensors (`saveSafetensors`), go on from what `loadSafetensors` gives, as an
 * object; branch with `forkState` of `@x/tensor/nn`.
 */
export interface SelfAttentionState extends AttentionState {
  /** How many tokens were seen, padding included; int32 []. */
  readonly position: Tensor;
}

const owner = "SelfAttention";

/**
 * Multi-head attention of which the first heads are local, see {@link LocalAttention}, and the others
 * linear, see {@link linearAttn} and {@link causalLinearAttn}: the cost of both grows linearly with
 * the length.
 *
 * @example
 * ```ts
 * const attention = new SelfAttention(32, 4, {
 *   causal: true,
 *   nLocalAttnHeads: 2,
 *   localAttnWindowSize: 8,
 * });
 * console.log(attention.forward(ones([2, 24, 32])).shape); // → [ 2, 24, 32 ]
 * ```
 */
export class SelfAttention extends Module {
  /** How many heads, local ones included. */
  readonly heads: number;
  /** Size of a head. */
  readonly dimHead: number;
  /** Whether a position sees none after itself. */
  readonly causal: boolean;
  /** The bucket size of causal linear attention. */
  readonly blindspotSize: number;
  /** How many heads are local. */
  readonly localAttnHeads: number;
  /** Whether keys and values are made of a context. */
  readonly receivesContext: boolean;
  /** Whether local and global heads have one head of keys and values each. */
  readonly oneKvHead: boolean;
  /** `"reference"` where the original is reproduced, else `null`. */
  readonly compat: Compatibility | null;
  /** What the local heads do. */
  readonly localAttn: LocalAttention;
  /** To the queries. */
  readonly toQ: Linear;
  /** To the keys. */
  readonly toK: Linear;
  /** To the values. */
  readonly toV: Linear;
  /** From the joined heads. */
  readonly toOut: Linear;
  /** Drops elements of the result. */
  dropout: Dropout;

  /**
   * @param dim size of inputs and results
   * @param heads how many heads
   * @throws XError `argument` if a number is out of range or the heads do not divide `dim`
   */
  constructor(dim: number, heads: number, options: SelfAttentionOptions = {}) {
    super();
    const { causal = false, blindspotSize = 1, nLocalAttnHeads = 0 } = options;
    const { receivesContext = false, oneKvHead = false } = options;
    checkCounts(owner, { dim, heads, blindspotSize });
    checkNumbers(owner, wholeFrom(0, heads), { nLocalAttnHeads });
    const dimHead = headSize(owner, dim, heads, options.dimHead);
    this.heads = heads;
    this.dimHead = dimHead;
    this.causal = causal;
    this.blindspotSize = blindspotSize;
    this.localAttnHeads = nLocalAttnHeads;
    this.receivesContext = receivesContext;
    this.oneKvHead = oneKvHead;
    this.compat = checkCompat(owner, options.compat);
    this.localAttn = new LocalAttention({
      windowSize: options.localAttnWindowSize ?? 128,
      causal,
      dropout: options.attnDropout ?? 0,
      compat: this.compat,
      // The original leaves that to a wrapper.
      autopad: this.compat === null,
    });
    const keySize =
      (this.keyHeads(nLocalAttnHeads) + this.keyHeads(this.globalAttnHeads)) * dimHead;
    this.toQ = new Linear(dim, dimHead * heads, { bias: false });
    this.toK = new Linear(dim, keySize, { bias: false });
    this.toV = new Linear(dim, keySize, { bias: false });
    this.toOut = new Linear(dimHead * heads, dim);
    this.dropout = new Dropout(options.dropout ?? 0);
  }

  /** How many heads are global. */
  get globalAttnHeads(): number {
    return this.heads - this.localAttnHeads;
  }

  /** How many heads of keys so many heads have. */
  private keyHeads(heads: number): number {
    return this.oneKvHead ? Math.min(heads, 1) : heads;
  }

  /**
   * From [batch, length, dim] to the same shape.
   *
   * @throws XError `shape` if a tensor or mask does not fit; `argument` if a context is missing or
   * not expected, or a state comes to a module that cannot be continued
   */
  forward(x: Tensor, options: SelfAttentionCall = {}): Tensor {
    const { inputMask = null, context = null, contextMask = null, posEmb = null } = options;
    const dim = this.toQ.inFeatures;
    checkSequence(owner, "input", x, dim, inputMask);
    checkArgument(
      owner,
      (context !== null) === this.receivesContext,
      () =>
        `a context comes exactly where receivesContext is set, got ${context === null ? "none" : "one"}. Set receivesContext for a layer that attends to a context.`,
    );
    const source = context ?? x;
    const kvMask = context === null ? inputMask : contextMask;
    checkSequence(owner, "context", source, dim, kvMask);
    const heads = (y: Tensor): Tensor => splitHeads(y, this.dimHead);
    let q = heads(this.toQ.forward(x));
    let k = heads(this.toK.forward(source));
    const v = heads(this.toV.forward(source));
    if (posEmb !== null && context === null) [q, k] = applyRotoryPosEmb(q, k, posEmb);
    const { state = null } = options;
    if (state !== null) return this.advance([q, k, v], state, inputMask);
    const parts = this.ofBoth(
      [q, k, v],
      (local) => this.localAttn.forward(...local, { inputMask }),
      (global) => this.attendGlobally(global, kvMask),
    );
    return this.joined(parts);
  }

  /**
   * The memory of nothing, for `batch` sequences at once: with `state` in the options of the calls,
   * calls on the parts of a sequence give what one call on the whole gives.
   *
   * @throws XError `argument` if the module is not causal, receives a context or reproduces the
   * original
   */
  initState(options: SelfAttentionStateOptions): SelfAttentionState {
    const { batch, masked = false, device = this.toQ.weight.device ?? getDevice() } = options;
    checkCounts(owner, { batch });
    const { causal, receivesContext, compat } = this;
    checkContinues(owner, causal, { receivesContext, compat });
    const { dimHead: headDim, blindspotSize } = this;
    const [local, global] = [this.localAttnHeads, this.globalAttnHeads].map((heads) => {
      const sizes = { batch, headDim, valueDim: headDim, masked, device };
      return heads > 0 && { ...sizes, heads: this.keyHeads(heads) };
    });
    return {
      position: startPosition(device),
      ...(global && emptySums(global)),
      ...(global && blindspotSize > 1 && asPart("bucket", emptyKept(blindspotSize, global))),
      ...(local && asPart("local", emptyKept(this.localAttn.places, local))),
    };
  }

  private advance(heads: Heads, state: SelfAttentionState, inputMask: Tensor | null): Tensor {
    const [batch, , tokens] = heads[0].shape as [number, number, number];
    checkState(owner, state, this.initState({ batch, masked: inputMask !== null }));
    const { position } = state;
    const kept = (name: string): Kept => partOf(state, name) as AttentionState & Kept;
    const sums = state as SelfAttentionState & Sums;
    const parts = this.ofBoth<Advance>(
      heads,
      (local) => this.localAttn.advance(local, { ...kept("local"), position }, inputMask),
      (global) =>
        this.blindspotSize === 1
          ? advanceSums(global, sums, inputMask)
          : advanceBuckets(global, sums, kept("bucket"), position, inputMask),
    );
    return withUpdates(this.joined(parts.map(({ output }) => output)), [
      ...parts.flatMap(({ updates }) => updates),
      nextPosition(position, tokens),
    ]);
  }

  /** What the local heads give and then what the global ones give, as far as there are any. */
  private ofBoth<T>(
    heads: Heads,
    ofLocal: (heads: Heads) => T,
    ofGlobal: (heads: Heads) => T,
  ): T[] {
    const { localAttnHeads, globalAttnHeads } = this;
    if (localAttnHeads === 0) return [ofGlobal(heads)];
    if (globalAttnHeads === 0) return [ofLocal(heads)];
    const [q, k, v] = heads;
    const keyHeads = [localAttnHeads, globalAttnHeads].map((number) => this.keyHeads(number));
    const queries = q.split([localAttnHeads, globalAttnHeads], 1);
    const [keys, values] = [k.split(keyHeads, 1), v.split(keyHeads, 1)];
    return [ofLocal, ofGlobal].map((attend, i) => attend([queries[i]!, keys[i]!, values[i]!]));
  }

  /** The results of local and global heads, projected. */
  private joined(parts: readonly Tensor[]): Tensor {
    return this.dropout.forward(this.toOut.forward(joinHeads(cat(parts, 1))));
  }

  private attendGlobally([q, k, v]: Heads, kvMask: Tensor | null): Tensor {
    const { blindspotSize: bucketSize, compat } = this;
    if (!this.causal) return linearAttn(q, k, v, { kvMask });
    if (compat !== null && this.oneKvHead) {
      return featurewiseCausalLinearAttn(q, k, v, { kvMask, bucketSize });
    }
    return causalLinearAttn(q, k, v, { kvMask, bucketSize, compat });
  }
}
