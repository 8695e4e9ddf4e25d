/** The transformer: layers of linear and local attention. */

import type { Device, Tensor } from "@x/tensor";
import type { AttentionState } from "@x/tensor/nn";
import { getDevice, Module } from "../engine.js";
import { checkContinues, checkCounts, checkSequence } from "../checks.js";
import type { LayerCall } from "../stack/layer.js";
import { ReversibleSequence } from "../stack/reversible.js";
import { SequentialSequence } from "../stack/sequential.js";
import { asPart, partOf } from "../state.js";
import { makeLayers } from "./layers.js";
import type { LinearAttentionTransformerOptions } from "./options.js";
import { planTransformer, type TransformerPlan } from "./plan.js";

const owner = "LinearAttentionTransformer";

/** For what a decode state is made. */
export interface TransformerStateOptions {
  /** Whether calls may come with an input mask. Default false. */
  readonly masked?: boolean;
}

/**
 * A transformer whose cost grows linearly with the length of the sequence: some heads of its attention
 * are global and linear, `q (kᵀ v)` with `softmax`ed queries and keys, the others see a window of
 * neighbours exactly. Pairs of attention and feed-forward parts follow each other, each normalised
 * before and with a residual connection.
 *
 * Causal ones decode token by token, in time and memory that do not depend on how many came before:
 * see {@link LinearAttentionTransformer.initState}.
 *
 * @example
 * ```ts
 * const model = new LinearAttentionTransformer({
 *   dim: 32,
 *   depth: 2,
 *   maxSeqLen: 256,
 *   heads: 4,
 *   causal: true,
 *   nLocalAttnHeads: 2,
 *   localAttnWindowSize: 16,
 * });
 * console.log(model.forward(randn([1, 64, 32])).shape); // → [ 1, 64, 32 ]
 *
 * const state = model.initState(1);
 * console.log(model.forward(randn([1, 1, 32]), { state }).shape); // → [ 1, 1, 32 ]
 * ```
 *
 * @see Katharopoulos et al.: Transformers are RNNs (2020); Shen et al.: Efficient Attention (2018)
 */
export class LinearAttentionTransformer extends Module {
  /** The options that it was made with, and the defaults of all others. */
  readonly plan: TransformerPlan;
  /** Of what number the length of a sequence must be a multiple: see {@link Autopadder}. */
  readonly padToMultiple: number;
  /** The layers. */
  readonly layers: SequentialSequence | ReversibleSequence;

  /** @throws XError `argument` if an option is out of range or options contradict each other */
  constructor(options: LinearAttentionTransformerOptions) {
    super();
    const plan = planTransformer(owner, options);
    const { pairs, argsRoute } = makeLayers(plan);
    const Sequence = plan.reversible ? ReversibleSequence : SequentialSequence;
    this.plan = plan;
    const hasWindows =
      plan.nLocalAttnHeads.some((number) => number > 0) ||
      (plan.attendAxially && plan.compat === null);
    this.padToMultiple = leastCommonMultiple(
      plan.causal ? plan.blindspotSize : 1,
      hasWindows ? plan.localAttnWindowSize : 1,
    );
    this.layers = new Sequence(pairs, { argsRoute });
  }

  /**
   * From [batch, length, dim] to the same shape; the length is a multiple of `padToMultiple`, unless
   * there is a state.
   *
   * With a state the tokens follow those of the calls before, one or more at a time, and the result is
   * the same as that of one call for all. The state changes when the result, or anything that depends
   * on it, is computed; compute it before the next call where compiling again is to be avoided.
   *
   * @throws XError `shape` if a tensor does not fit or the state lacks one; `argument` if a context is
   * missing
   */
  forward(x: Tensor, call: LayerCall = {}): Tensor {
    checkSequence(owner, "input", x, this.plan.dim);
    const { state = null, posEmb = null } = call;
    const axialPosEmb =
      call.axialPosEmb ?? (this.axialDimHead === this.plan.dimHead ? posEmb : null);
    const own = state && { state: partOf(state, "layers") };
    return this.layers.forward(x, { ...call, axialPosEmb, ...own });
  }

  /**
   * What is remembered before the first token of `batch` sequences, of constant size: names begin with
   * the layer, such as `layers.0.0.…`. Copy it with `forkState` of `@x/tensor/nn` to go on in two
   * ways.
   *
   * @throws XError `argument` if the model has none: if it is not causal, attends axially or reproduces
   * the original
   */
  initState(batch: number = 1, options: TransformerStateOptions = {}): AttentionState {
    const { masked = false } = options;
    const { dim, causal, attendAxially, compat } = this.plan;
    checkCounts(owner, { batch });
    checkContinues(owner, causal, { attendAxially, compat });
    const { device } = this;
    return asPart("layers", this.layers.initState({ batch, dim, masked, device }));
  }

  /** Whether there is a decode state. */
  get canStream(): boolean {
    const { causal, attendAxially, compat } = this.plan;
    return causal && !attendAxially && compat === null;
  }

  /** @internal Size of the heads of attention along every nth position. */
  get axialDimHead(): number {
    return this.plan.dim / this.plan.heads;
  }

  /** @internal Where the parameters live. */
  get device(): Device {
    return this.parameters()[0]?.device ?? getDevice();
  }
}

function leastCommonMultiple(a: number, b: number): number {
  let multiple = a;
  while (multiple % b !== 0) multiple += a;
  return multiple;
}
