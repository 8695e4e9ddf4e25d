/** Attention with global linear heads and local heads. */

import { cat, getDevice, type Device, type Tensor } from "@x/tensor";
import { checkNumbers, wholeFrom } from "@x/tensor/checks";
import { Dropout, Linear, Module, withUpdates, type AttentionState } from "@x/tensor/nn";
import { checkArgument, checkContinues, checkCounts, checkSequence } from "../checks.js";
import { headSize, splitHeads, joinHeads } from "../sequence.js";
import { checkCompat, type Compatibility } from "../compatibility.js";
import { applyRotoryPosEmb } from "../embedding/rotary.js";
import { LocalAttention } from "../local/local-attention.js";
import {
  asPart,
  checkState,
  emptyKept,
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
    checkNumbers(owner, wholeFrom(0), { nLocalAttnHeads });
    checkArgument(
      owner,
      nLocalAttnHeads <= heads,
      () => `there are ${heads} heads, got ${nLocalAttnHeads} local ones. Make fewer local.`,
    );
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
    const keySize = (this.localKeyHeads + this.globalKeyHeads) * dimHead;
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

  /** Heads of the keys of local heads. */
  private get localKeyHeads(): number {
    return this.keyHeads(this.localAttnHeads);
  }

  /** Heads of the keys of global heads. */
  private get globalKeyHeads(): number {
    return this.keyHeads(this.globalAttnHeads);
  }

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
    const [local, global] = this.split([q, k, v]);
    return this.joined([
      local && this.attendLocally(local, inputMask),
      global && this.attendGlobally(global, kvMask),
    ]);
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
    const { dimHead: headDim, blindspotSize, localKeyHeads, globalKeyHeads } = this;
    const sizes = { batch, headDim, valueDim: headDim, masked, device };
    const [local, global] = [
      { ...sizes, heads: localKeyHeads },
      { ...sizes, heads: globalKeyHeads },
    ];
    return {
      position: startPosition(device),
      ...(globalKeyHeads > 0 && emptySums(global)),
      ...(globalKeyHeads > 0 &&
        blindspotSize > 1 &&
        asPart("bucket", emptyKept(blindspotSize, global))),
      ...(localKeyHeads > 0 && asPart("local", emptyKept(this.localAttn.places, local))),
    };
  }

  private advance(heads: Heads, state: SelfAttentionState, inputMask: Tensor | null): Tensor {
    const [batch, , tokens] = heads[0].shape as [number, number, number];
    checkState(owner, state, this.initState({ batch, masked: inputMask !== null }));
    const { position } = state;
    const kept = (name: string): Kept => partOf(state, name) as AttentionState & Kept;
    const sums = state as SelfAttentionState & Sums;
    const [local, global] = this.split(heads);
    const parts: Advance[] = [];
    if (local) parts.push(this.localAttn.advance(local, { ...kept("local"), position }, inputMask));
    if (global) {
      parts.push(
        this.blindspotSize === 1
          ? advanceSums(global, sums, inputMask)
          : advanceBuckets(global, sums, kept("bucket"), position, inputMask),
      );
    }
    return withUpdates(this.joined(parts.map(({ output }) => output)), [
      ...parts.flatMap(({ updates }) => updates),
      [position, position.add(tokens)],
    ]);
  }

  /** The heads that are local, and those that are global; `null` where there are none. */
  private split([q, k, v]: Heads): [local: Heads | null, global: Heads | null] {
    const { localAttnHeads, globalAttnHeads, localKeyHeads, globalKeyHeads } = this;
    const part = (
      start: number,
      heads: number,
      keyStart: number,
      keyHeads: number,
    ): Heads | null =>
      heads === 0
        ? null
        : [
            q.narrow(1, start, heads),
            k.narrow(1, keyStart, keyHeads),
            v.narrow(1, keyStart, keyHeads),
          ];
    return [
      part(0, localAttnHeads, 0, localKeyHeads),
      part(localAttnHeads, globalAttnHeads, localKeyHeads, globalKeyHeads),
    ];
  }

  /** The results of local and global heads, projected. */
  private joined(parts: readonly (Tensor | null)[]): Tensor {
    const heads = cat(
      parts.filter((part) => part !== null),
      1,
    );
    return this.dropout.forward(this.toOut.forward(joinHeads(heads)));
  }

  private attendLocally([q, k, v]: Heads, inputMask: Tensor | null): Tensor {
    const toAll = (x: Tensor): Tensor => x.expand([-1, this.localAttnHeads, -1, -1]);
    return this.localAttn.forward(q, toAll(k), toAll(v), { inputMask });
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
