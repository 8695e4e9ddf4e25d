/** SRF attention as a module. */

import { cat, dropout, getDevice, ones, where, type Device, type Tensor } from "@x/tensor";
import {
  check,
  checkChoice,
  checkHeads,
  checkKeyMask,
  checkNumbers,
  count,
  formatShapes,
  nonNegative,
  probability,
} from "@x/tensor/checks";
import {
  Buffer,
  Module,
  withUpdates,
  type AttentionMechanism,
  type MechanismOptions,
  type StateOptions,
  type StepOptions,
} from "@x/tensor/nn";
import type { Generator } from "@x/tensor/random";
import { drawFeatures, featureKinds, type FeatureKind } from "../features/random-matrix.js";
import { lowest, projectionsOf } from "../kernel/projections.js";
import { checkState, type SrfState } from "../state/srf-state.js";
import { isReference, type Compatibility } from "./compatibility.js";
import { fusedAttention } from "./fused.js";
import { plainAttention } from "./plain.js";
import { emptyState, startOf, type SrfProblem, type SrfResult } from "./problem.js";

/** Options of {@link FastAttention}. */
export interface FastAttentionOptions {
  /** Size of the queries and keys of a head. */
  readonly headDim: number;
  /** How many random features there are: the more, the smaller the error. Default `headDim`. */
  readonly nbFeatures?: number;
  /** Whether a query sees only keys up to its own place, unless a call says otherwise. Default false. */
  readonly causal?: boolean;
  /** How the random vectors are coupled. Default `"simplex"`. */
  readonly features?: FeatureKind;
  /** Whether the random vectors are divided by √headDim. Default false. */
  readonly scale?: boolean;
  /** Whether the random vectors are given length 1. Default false. */
  readonly normalize?: boolean;
  /** What is added to every feature, so that no query is without keys. Default 1e-4. */
  readonly epsilon?: number;
  /** Whether every `forward` draws features of its own. Default false. */
  readonly redrawOnCall?: boolean;
  /** Where the random numbers come from; the default generator unless given. */
  readonly generator?: Generator;
  /** Reproduces the original where it sees the future; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/**
 * How attention is computed: `"fused"` by a kernel of its own, which never stores features;
 * `"plain"` as a composition of ordinary operations. The results are the same to rounding.
 */
export type AttnFn = "fused" | "plain";

/** Options of a call of {@link FastAttention}. */
export interface FastAttentionCall extends MechanismOptions {
  /** Whether a query sees only keys up to its own place. Default: `causal` of the module. */
  readonly isCausal?: boolean;
  /** How it is computed. Default `"fused"`. */
  readonly attnFn?: AttnFn;
  /** With `"plain"`: how many keys at a time. The result is the same to rounding. Default 32. */
  readonly chunkSize?: number;
}

/**
 * How a prompt is read: at once, in chunks that hand a state on, or token by token. The results are
 * the same to rounding.
 */
export type PrefillForm = "parallel" | "chunkwise-recurrent" | "recurrent";

/** Options of {@link FastAttention.prefill}. */
export interface PrefillOptions extends StepOptions {
  /** How the prompt is read. Default `"parallel"`. */
  readonly form?: PrefillForm;
  /** Tokens in a chunk of `"chunkwise-recurrent"`. Default 256. */
  readonly chunkSize?: number;
  /** The state to go on from, and to update. Default: a new one. */
  readonly state?: SrfState;
}

const owner = "FastAttention";

/**
 * Simplex random feature attention: softmax attention whose scores `exp(q·k / √d)` are estimated by
 * products of F positive random features, so that the time is linear in the length and generation
 * needs a state of constant size.
 *
 * `y_i = Σ_j w_ij v_j / Σ_j w_ij`, `w_ij = Σ_f (exp(α_if) + ε)(exp(b_jf − M_i) + ε)`, where with
 * random vectors P and s = d^(−1/4) `b_j = P k_j s − |k_j|² s² / 2`, α_i is the same of q_i less its
 * largest projection, and M_i is the largest projection of the keys that query i sees. Maxima are
 * constants for gradients.
 *
 * It is a mechanism: `forward` for whole sequences, `initState` and `step` for generation. All forms
 * agree to rounding. The random vectors are the buffer `projectionMatrix`, saved with the module.
 *
 * @example
 * ```ts
 * const attention = new FastAttention({ headDim: 16, nbFeatures: 32, causal: true });
 * const [q, k, v] = [randn([2, 4, 10, 16]), randn([2, 4, 10, 16]), randn([2, 4, 10, 16])];
 * console.log(attention.forward(q, k, v).shape); // → [ 2, 4, 10, 16 ]
 *
 * const { output, state } = attention.prefill(q, k, v);
 * await output.realize();
 * const token = randn([2, 4, 1, 16]);
 * const next = await attention.step(token, token, token, state).realize();
 * console.log(next.shape, state.keyValues.shape); // → [ 2, 4, 1, 16 ] [ 2, 4, 32, 16 ]
 * console.log((await state.count.data())[0]); // → 11
 * ```
 * @see Reid et al.: Simplex Random Features (2023)
 * @see Choromanski et al.: Rethinking Attention with Performers (2021)
 */
export class FastAttention extends Module implements AttentionMechanism<SrfState> {
  /** The random vectors, [nbFeatures, headDim]. */
  readonly projectionMatrix: Buffer;
  /** Size of the queries and keys of a head. */
  readonly headDim: number;
  /** How many random features there are. */
  readonly nbFeatures: number;
  /** Whether a query sees only keys up to its own place, unless a call says otherwise. */
  readonly causal: boolean;
  /** How the random vectors are coupled. */
  readonly features: FeatureKind;
  /** Whether the random vectors are divided by √headDim. */
  readonly scale: boolean;
  /** Whether the random vectors are given length 1. */
  readonly normalize: boolean;
  /** What is added to every feature. */
  readonly epsilon: number;
  /** Whether every `forward` draws features of its own. */
  redrawOnCall: boolean;
  private readonly generator: Generator | null;
  private readonly isReference: boolean;

  /** @throws XError `argument` if an option is out of range */
  constructor(options: FastAttentionOptions) {
    super();
    const { headDim, nbFeatures = headDim, causal = false, features = "simplex" } = options;
    const { scale = false, normalize = false, epsilon = 1e-4, redrawOnCall = false } = options;
    checkNumbers(owner, count, { headDim, nbFeatures });
    checkNumbers(owner, nonNegative, { epsilon });
    checkChoice(owner, "features", features, featureKinds);
    this.headDim = headDim;
    this.nbFeatures = nbFeatures;
    this.causal = causal;
    this.features = features;
    this.scale = scale;
    this.normalize = normalize;
    this.epsilon = epsilon;
    this.redrawOnCall = redrawOnCall;
    this.generator = options.generator ?? null;
    this.isReference = isReference(owner, options.compat);
    this.projectionMatrix = new Buffer(this.draw());
  }

  /** Says whether every `forward` draws features of its own, as fitting for training. */
  redrawOnCall_(value: boolean = true): this {
    this.redrawOnCall = value;
    return this;
  }

  /**
   * Draws other random vectors: for each training step, so that a model does not come to rely on
   * particular ones. A decode state goes only with the vectors it was made with.
   */
  redraw_(): this {
    this.projectionMatrix.assign(this.draw());
    return this;
  }

  /**
   * The attention of a whole sequence: queries [b, h, n, d], keys [b, hk, m, d], values
   * [b, hk, m, e]; each of the hk key heads is shared by h / hk consecutive query heads. A query
   * that sees no key gets 0. Dropout removes keys: each weight of a dropped key is 0, for all queries
   * of the head, the others grow by 1 / (1 − p).
   *
   * @throws XError `shape` if the tensors do not fit each other, `argument` if a causal call has more
   * queries than keys or an option is out of range
   */
  forward(query: Tensor, key: Tensor, value: Tensor, options: FastAttentionCall = {}): Tensor {
    const { isCausal = this.causal, keyMask = null, dropout: p = 0 } = options;
    const { attnFn = "fused", chunkSize = 32 } = options;
    checkNumbers(owner, probability, { dropout: p });
    checkNumbers(owner, count, { chunkSize });
    checkChoice(owner, "attnFn", attnFn, ["fused", "plain"]);
    if (this.redrawOnCall) this.redraw_();
    const kept = p === 0 ? value : value.mul(dropout(ones(value.shape.with(3, 1)), { p }));
    const problem = this.problem(query, key, kept, isCausal, keyMask, null);
    const start = this.isReference && isCausal ? withGlobalMaximum(problem) : problem;
    return attnFn === "plain"
      ? plainAttention(start, chunkSize).output
      : fusedAttention(start).output;
  }

  /** The state before the first token. It has room for any number of tokens. */
  initState(
    options: Pick<StateOptions, "batch" | "heads"> & Partial<StateOptions> & { device?: Device },
  ): SrfState {
    const { batch, heads, headDim = this.headDim, valueDim = headDim } = options;
    const { device = getDevice() } = options;
    checkNumbers(owner, count, { batch, heads, valueDim });
    return emptyState(
      { batch, keyHeads: heads, features: this.nbFeatures, valueSize: valueDim },
      device,
    );
  }

  /**
   * The causal attention of a prompt, and the state after it. The state changes when the output,
   * or anything that depends on it, is computed.
   *
   * @throws XError as `forward` does, and `shape` if the state does not fit
   */
  prefill(query: Tensor, key: Tensor, value: Tensor, options: PrefillOptions = {}): SrfPrefill {
    const { form = "parallel", keyMask = null } = options;
    checkChoice(owner, "form", form, ["parallel", "chunkwise-recurrent", "recurrent"]);
    const { chunkSize = 256 } = options;
    checkNumbers(owner, count, { chunkSize });
    checkHeads(owner, query, key, value);
    const [batch, heads, tokens] = key.shape as [number, number, number];
    const state = options.state ?? this.initState({ batch, heads, valueDim: value.shape[3]! });
    const length = { parallel: tokens, "chunkwise-recurrent": chunkSize, recurrent: 1 }[form];
    if (length >= tokens) {
      return { output: this.step(query, key, value, state, { keyMask }), state };
    }
    const outputs: Tensor[] = [];
    let reached: SrfState = state;
    for (let start = 0; start < tokens; start += length) {
      const size = Math.min(length, tokens - start);
      const part = (x: Tensor): Tensor => x.narrow(2, start, size);
      const mask = keyMask && keyMask.narrow(1, start, size);
      const result = this.go(part(query), part(key), part(value), reached, mask);
      outputs.push(result.output);
      reached = result.state;
    }
    return { output: updating(cat(outputs, 2), state, reached), state };
  }

  /**
   * The causal attention of the next tokens, one or more. The state changes when the result, or
   * anything that depends on it, is computed.
   *
   * @throws XError `shape` if tensors or state do not fit
   */
  step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: SrfState,
    options: StepOptions = {},
  ): Tensor {
    const result = this.go(query, key, value, state, options.keyMask ?? null);
    return updating(result.output, state, result.state);
  }

  /** The causal attention of the next tokens, and the state after them. */
  private go(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: SrfState,
    keyMask: Tensor | null,
  ): SrfResult {
    const problem = this.problem(query, key, value, true, keyMask, state);
    check(
      query.shape[2] === key.shape[2],
      "shape",
      () =>
        `${owner}: a step needs a query for each key, got ${formatShapes(query, key)}. Pass as many queries as keys.`,
    );
    return fusedAttention(problem);
  }

  private problem(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    causal: boolean,
    keyMask: Tensor | null,
    state: SrfState | null,
  ): SrfProblem {
    checkHeads(owner, query, key, value);
    const { headDim, epsilon, projectionMatrix: projection } = this;
    check(
      query.shape[3] === headDim,
      "shape",
      () =>
        `${owner}: queries and keys must have the size ${headDim} that features were drawn for, got ${query.shape[3]}. Set headDim.`,
    );
    check(
      !causal || query.shape[2]! <= key.shape[2]!,
      "argument",
      () =>
        `${owner}: a causal call needs a key for every query, got ${query.shape[2]} queries and ${key.shape[2]} keys. Pass as many keys as queries, or more.`,
    );
    if (keyMask !== null) checkKeyMask(owner, keyMask, [key.shape[0]!, key.shape[2]!]);
    const scale = headDim ** -0.25;
    if (state !== null) checkState(owner, state);
    return { query, key, value, projection, scale, epsilon, causal, keyMask, state };
  }

  private draw(): Tensor {
    const { nbFeatures: rows, headDim, scale, normalize, generator } = this;
    return drawFeatures(this.features, {
      rows,
      features: headDim,
      scale,
      normalize,
      ...(generator && { generator }),
    });
  }
}

/** What {@link FastAttention.prefill} gives. */
export interface SrfPrefill {
  /** [b, h, n, e] */
  readonly output: Tensor;
  /** The state after the prompt: that which was given, or a new one. */
  readonly state: SrfState;
}

/** The output, whose computation gives `state` the numbers of `next`. */
function updating(output: Tensor, state: SrfState, next: SrfState): Tensor {
  return withUpdates(
    output,
    Object.keys(next).map((name) => [state[name]!, next[name]!]),
  );
}

/** The problem with a maximum that starts where it ends, as that of the original. */
function withGlobalMaximum(problem: SrfProblem): SrfProblem {
  const { key, projection, scale, keyMask } = problem;
  const all = projectionsOf(key, projection, scale).maxima.squeeze(-1);
  const isTaken = keyMask?.unsqueeze(1);
  const maximum = (isTaken ? where(isTaken, all, lowest) : all).amax(-1);
  return { ...problem, state: { ...startOf(problem), maximum } };
}
