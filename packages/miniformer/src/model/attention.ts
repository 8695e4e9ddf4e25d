/** Attention with several heads. */

import {
  attentionWeights,
  getDevice,
  scaledDotProductAttention,
  zeros,
  fromData,
  type Device,
  type Tensor,
} from "@x/tensor";
import {
  check,
  checkLastAxis,
  checkNumbers,
  count,
  formatShape,
  probability,
} from "@x/tensor/checks";
import {
  Linear,
  Module,
  type AttentionMechanism,
  type AttentionState,
  type TensorModule,
} from "@x/tensor/nn";
import { makeNorm, type NormOptions } from "./norm.js";
import { referenceAttention, referenceWeights } from "./reference-attention.js";
import type { Rotate } from "./rotary.js";
import { Visibility, type AttentionGuide } from "./visibility.js";

const owner = "MultiHeadAttention";

/** Options of {@link MultiHeadAttention}. */
export interface MultiHeadAttentionOptions {
  /** Size of the vectors. */
  readonly dModel: number;
  /** How many heads the queries have. */
  readonly nHeads: number;
  /** How many heads keys and values have, a divisor of `nHeads`. Default `nHeads`. */
  readonly nKvHeads?: number;
  /** Size of a head. Default `dModel / nHeads`. */
  readonly headDim?: number;
  /** Whether the maps to queries, keys and values have biases. Default true. */
  readonly qkvBias?: boolean;
  /** Whether the map after the attention has a bias. Default true. */
  readonly outputBias?: boolean;
  /** The probability with which an attention weight is dropped, in training. Default 0. */
  readonly dropout?: number;
  /** How queries and keys are normalised, head by head. Default `null`: not at all. */
  readonly qkNorm?: NormOptions | null;
  /** How many positions each sees, its own included; see `slidingWindow`. Default `null`: all. */
  readonly slidingWindow?: number | null;
  /** What computes the attention. Default `null`: exact softmax attention. */
  readonly mechanism?: AttentionMechanism | null;
  /** Whether heads have ALiBi slopes. Default false. */
  readonly alibi?: boolean;
  /** As in a configuration: a query that sees nothing attends to all keys alike. Default `null`. */
  readonly compat?: "reference" | null;
}

/** What a call of attention may come with. */
export interface AttentionCall {
  /** What is attended to, [batch, keys, dModel]. Default: the query. */
  readonly memory?: Tensor | null;
  /** Bool, true where a query may see a key, or float32, added to the scores; [batch or 1, heads or 1, queries, keys]. */
  readonly mask?: Tensor | null;
  /** Bool [batch, keys]: true where a key takes part; with a state [batch, queries], of the new ones. */
  readonly keyMask?: Tensor | null;
  /** Whether a query sees only keys up to its own place. Default false; true with a state. */
  readonly isCausal?: boolean;
  /** What is remembered of the positions before; updated in place when the result is computed. */
  readonly state?: AttentionState | null;
  /** Turns queries and keys by their positions. */
  readonly rotate?: Rotate | null;
  /** Which positions see which, where a stack has worked that out for all its layers. */
  readonly visibility?: Visibility | null;
}

/** Heads of queries, keys and values. */
export interface Projections {
  /** [batch, nHeads, queries, headDim] */
  readonly query: Tensor;
  /** [batch, nKvHeads, keys, headDim] */
  readonly key: Tensor;
  /** [batch, nKvHeads, keys, headDim] */
  readonly value: Tensor;
}

/** A result of attention with its weights. */
export interface WeightedAttention {
  /** [batch, queries, dModel] */
  readonly output: Tensor;
  /** [batch, heads, queries, keys] */
  readonly weights: Tensor;
}

/** For what a state of attention is made. */
export interface AttentionStateOptions {
  /** How many sequences. */
  readonly batch: number;
  /** How many tokens it must be able to hold. */
  readonly capacity: number;
  /** Whether calls come with a key mask. Default false. */
  readonly masked?: boolean;
  /** Where it lives. Default: where the module is. */
  readonly device?: Device;
}

/**
 * Attention with several heads: `wo(attend(wq(x), wk(m), wv(m)))`, where `m` is a memory or `x` itself.
 * Between the maps stands exact softmax attention, or any mechanism.
 *
 * To change how heads attend, extend the class and override `attend`; a model takes the class through
 * its `parts`.
 *
 * @example A window of three positions that slides along the sequence
 * ```ts
 * class SlidingWindowAttention extends MultiHeadAttention {
 *   override attend({ query, key, value }: Projections, guide: AttentionGuide): Tensor {
 *     const near = guide.queryPositions.sub(guide.keyPositions).lt(3);
 *     return super.attend({ query, key, value }, guide.and(near));
 *   }
 * }
 *
 * const attention = new SlidingWindowAttention({ dModel: 8, nHeads: 2 });
 * const x = randn([1, 6, 8]);
 * const far = arange(6).ge(1).float().reshape([1, 6, 1]);
 * const difference = attention.forward(x, { isCausal: true })
 *   .sub(attention.forward(x.mul(far), { isCausal: true }))
 *   .abs().amax([0, 2]).gt(0);
 * console.log(await difference.toArray()); // → [ true, true, true, false, false, false ]
 * ```
 *
 * @see Vaswani et al.: Attention Is All You Need (2017)
 */
export class MultiHeadAttention extends Module {
  /** Size of the vectors. */
  readonly dModel: number;
  /** Heads of the queries. */
  readonly nHeads: number;
  /** Heads of keys and values. */
  readonly nKvHeads: number;
  /** Size of a head. */
  readonly headDim: number;
  /** The probability with which an attention weight is dropped, in training. */
  readonly dropout: number;
  /** How many positions each sees, or `null`. */
  readonly slidingWindow: number | null;
  /** Whether heads have ALiBi slopes. */
  readonly alibi: boolean;
  /** Whether the original is reproduced. */
  readonly compat: "reference" | null;
  /** To the queries; another module may take its place, as for the other maps. */
  wq: TensorModule;
  /** To the keys. */
  wk: TensorModule;
  /** To the values. */
  wv: TensorModule;
  /** From the heads. */
  wo: TensorModule;
  /** The norm of the queries, or `null`. */
  qNorm: TensorModule | null;
  /** The norm of the keys, or `null`. */
  kNorm: TensorModule | null;
  /** What computes the attention; `null` for exact softmax attention. */
  mechanism: AttentionMechanism | null;

  /** @throws XError `argument` if an option is out of its range */
  constructor(options: MultiHeadAttentionOptions) {
    super();
    const { dModel, nHeads, nKvHeads = nHeads, headDim = dModel / nHeads } = options;
    const { qkvBias = true, outputBias = true, dropout = 0, qkNorm = null } = options;
    const { slidingWindow = null, mechanism = null, alibi = false, compat = null } = options;
    checkNumbers(owner, count, { dModel, nHeads, nKvHeads, headDim });
    checkNumbers(owner, probability, { dropout });
    if (slidingWindow !== null) checkNumbers(owner, count, { slidingWindow });
    check(
      nHeads % nKvHeads === 0,
      "argument",
      () =>
        `${owner}: nKvHeads must divide nHeads, got ${nKvHeads} for ${nHeads}. Choose a divisor of it.`,
    );
    this.dModel = dModel;
    this.nHeads = nHeads;
    this.nKvHeads = nKvHeads;
    this.headDim = headDim;
    this.dropout = dropout;
    this.slidingWindow = slidingWindow;
    this.alibi = alibi;
    this.compat = compat;
    this.wq = new Linear(dModel, nHeads * headDim, { bias: qkvBias });
    this.wk = new Linear(dModel, nKvHeads * headDim, { bias: qkvBias });
    this.wv = new Linear(dModel, nKvHeads * headDim, { bias: qkvBias });
    this.wo = new Linear(nHeads * headDim, dModel, { bias: outputBias });
    this.qNorm = qkNorm && makeNorm(headDim, qkNorm);
    this.kNorm = qkNorm && makeNorm(headDim, qkNorm);
    this.mechanism = mechanism;
  }

  /**
   * From [batch, queries, dModel] to the same shape.
   *
   * With a state, the positions follow those of the calls before, and the result is that of one causal
   * call for all.
   *
   * @throws XError `shape`, `dtype` or `argument` if a tensor does not fit, or the mechanism cannot do
   * what is asked
   */
  forward(query: Tensor, call: AttentionCall = {}): Tensor {
    return this.run(query, call, null);
  }

  /**
   * The same with the weights of all heads, which are all held at once.
   *
   * @throws XError `argument` if the attention is not that of softmax
   */
  forwardWithWeights(query: Tensor, call: AttentionCall = {}): WeightedAttention {
    const weights: Tensor[] = [];
    const output = this.run(query, call, weights);
    return { output, weights: weights[0]! };
  }

  /**
   * The same from heads that were projected before, as `project` gives them: for keys and values that
   * come from elsewhere, such as a cache of one's own.
   *
   * @throws XError `argument` if the attention is not that of softmax
   */
  forwardHeads(heads: Projections, call: Omit<AttentionCall, "rotate"> = {}): WeightedAttention {
    const weights: Tensor[] = [];
    const output = this.finish(heads, call, weights);
    return { output, weights: weights[0]! };
  }

  /** The heads of queries, and of the keys and values of a memory or of the same positions. */
  project(query: Tensor, memory: Tensor = query): Projections {
    return { query: this.projectQuery(query), ...this.projectMemory(memory) };
  }

  /**
   * The attention of heads, [batch, nHeads, queries, headDim]; keys and values have `nKvHeads`. Override
   * this to attend in another way.
   */
  attend(heads: Projections, guide: AttentionGuide): Tensor {
    const { query, key, value } = heads;
    const dropoutP = this.training ? this.dropout : 0;
    if (this.compat !== null) return referenceAttention(heads, guide, dropoutP);
    const { mask, isCausal, window } = guide;
    return scaledDotProductAttention(query, key, value, {
      mask,
      isCausal,
      window,
      dropoutP,
      enableGqa: true,
    });
  }

  /** The weights of heads, [batch, nHeads, queries, keys], as `attend` uses them, before dropout. */
  weigh({ query, key }: Projections, guide: AttentionGuide): Tensor {
    if (this.compat !== null) return referenceWeights(query, key, guide);
    const { mask, isCausal, window } = guide;
    return attentionWeights(query, key, { mask, isCausal, window, enableGqa: true });
  }

  /**
   * What is remembered before the first position: `keys`, `values` and `length`, for masks `mask`, or
   * what the mechanism has.
   *
   * @throws XError `argument` if the mechanism has no state
   */
  initState(options: AttentionStateOptions): AttentionState {
    const { batch, capacity, masked = false, device = this.device } = options;
    checkNumbers(owner, count, { batch, capacity });
    if (this.mechanism !== null) return this.initLayerState(options);
    return {
      ...this.initLayerState(options),
      length: fromData(new Int32Array(1), [], { device }),
      ...(masked && { mask: zeros([batch, capacity], { dtype: "bool", device }) }),
    };
  }

  /** @internal The state without what all layers of a stack share. */
  initLayerState(options: AttentionStateOptions): AttentionState {
    const { batch, capacity, masked = false, device = this.device } = options;
    const { nKvHeads: heads, headDim, mechanism } = this;
    if (mechanism === null) {
      const shape = [batch, heads, capacity, headDim];
      return { keys: zeros(shape, { device }), values: zeros(shape, { device }) };
    }
    check(
      mechanism.initState !== undefined && mechanism.step !== undefined,
      "argument",
      () =>
        `${owner}: a decode state needs a mechanism with initState() and step(), got ${mechanism.constructor.name}. Compute whole sequences, or choose another mechanism.`,
    );
    return mechanism.initState({ batch, heads, headDim, capacity, masked, device });
  }

  /** @internal Keys and values of a memory, to be remembered. */
  projectMemory(memory: Tensor): Omit<Projections, "query"> {
    checkInput("memory", memory, this.dModel);
    const key = this.split(this.wk.forward(memory), this.nKvHeads);
    return {
      key: this.kNorm?.forward(key) ?? key,
      value: this.split(this.wv.forward(memory), this.nKvHeads),
    };
  }

  private get device(): Device {
    return this.parameters()[0]?.device ?? getDevice();
  }

  private projectQuery(query: Tensor): Tensor {
    checkInput("query", query, this.dModel);
    const heads = this.split(this.wq.forward(query), this.nHeads);
    return this.qNorm?.forward(heads) ?? heads;
  }

  private run(query: Tensor, call: AttentionCall, weights: Tensor[] | null): Tensor {
    const { memory = null, rotate = null, state = null } = call;
    if (state === null || !("memoryKeys" in state)) {
      return this.finish(this.turned(this.project(query, memory ?? query), rotate), call, weights);
    }
    const { memoryKeys: key, memoryValues: value } = state as Record<string, Tensor>;
    const heads = { query: this.projectQuery(query), key: key!, value: value! };
    return this.finish(heads, { ...call, state: null }, weights);
  }

  /** From heads to the result. */
  private finish(heads: Projections, call: AttentionCall, weights: Tensor[] | null): Tensor {
    const { mechanism } = this;
    const { state = null, mask = null } = call;
    if (mechanism !== null) {
      check(
        weights === null && mask === null,
        "argument",
        () =>
          `${owner}: masks and weights of single pairs need softmax attention, got ${mechanism.constructor.name}. Pass a keyMask or isCausal, or choose softmax.`,
      );
      return this.join(this.useMechanism(mechanism, heads, call));
    }
    const visibility = call.visibility ?? this.seeAlone(heads, call);
    const guide = visibility.guide(this.slidingWindow);
    const all = state === null ? heads : remember(heads, state, visibility.start!);
    weights?.push(this.weigh(all, guide));
    const output = this.join(this.attend(all, guide));
    return call.visibility ? output : visibility.finish(output);
  }

  private useMechanism(
    mechanism: AttentionMechanism,
    { query, key, value }: Projections,
    { state = null, keyMask = null, isCausal = false }: AttentionCall,
  ): Tensor {
    if (state === null) {
      const dropout = this.training ? this.dropout : 0;
      return mechanism.forward(query, key, value, { isCausal, keyMask, dropout });
    }
    check(
      mechanism.step !== undefined,
      "argument",
      () =>
        `${owner}: a call with a state needs a mechanism with step(), got ${mechanism.constructor.name}. Compute whole sequences, or choose another mechanism.`,
    );
    return mechanism.step(query, key, value, state, { keyMask });
  }

  /** Which positions see which, where no stack has worked it out. */
  private seeAlone({ query, key }: Projections, call: AttentionCall): Visibility {
    const { state = null, keyMask = null, mask = null, memory = null } = call;
    const [batch, , length] = query.shape as [number, number, number];
    const keys = key.shape[2]!;
    return new Visibility(owner, {
      batch,
      length,
      memoryLength: memory === null && keys === length ? null : keys,
      keyMask,
      mask,
      isCausal: call.isCausal ?? state !== null,
      state,
      capacity: state?.keys?.shape[2] ?? 0,
      slopedHeads: this.alibi ? this.nHeads : 0,
      isExplicit: this.compat !== null,
    });
  }

  private turned({ query, key, value }: Projections, rotate: Rotate | null): Projections {
    return rotate === null
      ? { query, key, value }
      : { query: rotate(query), key: rotate(key), value };
  }

  private split(x: Tensor, heads: number): Tensor {
    return x.unflatten(-1, [heads, this.headDim]).transpose(1, 2);
  }

  private join(heads: Tensor): Tensor {
    return this.wo.forward(heads.transpose(1, 2).flatten(2));
  }
}

function checkInput(name: string, x: Tensor, size: number): void {
  check(
    x.rank === 3,
    "shape",
    () =>
      `${owner}: the ${name} must have the axes [batch, length, ${size}], got ${formatShape(x.shape)}. Reshape it.`,
  );
  checkLastAxis(owner, name, x, size);
}

/** Writes new keys and values where they belong, and gives all that are there. */
function remember(
  { query, key, value }: Projections,
  state: AttentionState,
  start: Tensor,
): Projections {
  const { keys, values } = state as Record<string, Tensor | undefined>;
  check(
    keys !== undefined &&
      values !== undefined &&
      [0, 1, 3].every((axis) => keys.shape[axis] === key.shape[axis]),
    "shape",
    () =>
      `${owner}: the state must have keys and values for ${formatShape(key.shape)}, got ${keys === undefined ? "none" : formatShape(keys.shape)}. Make it with initState() for these sizes.`,
  );
  keys.assign(keys.dynamicUpdate(2, key, start));
  values.assign(values.dynamicUpdate(2, value, start));
  return { query, key: keys, value: values };
}
