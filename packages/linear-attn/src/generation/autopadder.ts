/** Sequences of any length, for models that need multiples. */

import type { Tensor } from "@x/tensor";
import { checkKeyMask, Module, ones } from "../engine.js";
import { checkAxes, checkInstance } from "../checks.js";
import type { LayerCall } from "../stack/layer.js";
import {
  LinearAttentionTransformerLM,
  type LanguageModelCall,
} from "../transformer/language-model.js";
import { LinearAttentionTransformer } from "../transformer/transformer.js";

/** What can be padded. */
export type PaddedModel = LinearAttentionTransformer | LinearAttentionTransformerLM;

/** What a call of a padded model may come with. */
export type PaddedCall<Model extends PaddedModel> = Model extends LinearAttentionTransformerLM
  ? LanguageModelCall
  : LayerCall;

/** Options of {@link Autopadder}. */
export interface AutopadderOptions {
  /** Whether padding comes before the sequence, not after it. Default false. */
  readonly padLeft?: boolean;
}

const owner = "Autopadder";

/**
 * A model that takes sequences of any length: they are padded to the next multiple of what local
 * windows, blind spots and axial rows need, the padding is masked, and the result is cut to the length
 * of what came in. Calls with a state need no padding and get none.
 *
 * @example
 * ```ts
 * const model = new Autopadder(
 *   new LinearAttentionTransformer({
 *     dim: 16,
 *     depth: 1,
 *     maxSeqLen: 64,
 *     heads: 2,
 *     nLocalAttnHeads: 1,
 *     localAttnWindowSize: 8,
 *   }),
 * );
 * console.log(model.padTo, model.forward(ones([1, 13, 16])).shape); // → 8 [ 1, 13, 16 ]
 * ```
 */
export class Autopadder<Model extends PaddedModel = PaddedModel> extends Module {
  /** The model. */
  readonly net: Model;
  /** Of what number lengths are made a multiple. */
  readonly padTo: number;
  /** Whether padding comes before the sequence. */
  readonly padLeft: boolean;

  /** @throws XError `argument` if the model is none of this package */
  constructor(net: Model, options: AutopadderOptions = {}) {
    super();
    checkInstance(owner, "net", net, { LinearAttentionTransformer, LinearAttentionTransformerLM });
    this.net = net;
    this.padTo = transformerOf(net).padToMultiple;
    this.padLeft = options.padLeft ?? false;
  }

  /**
   * What the model gives for [batch, length, …], of the same length.
   *
   * @throws XError `shape` if the mask does not fit; what the model throws
   */
  forward(x: Tensor, call?: PaddedCall<Model>): Tensor {
    const { net, padTo, padLeft } = this;
    // Which call fits which model is what `PaddedCall` says.
    const forward = (input: Tensor, given: LanguageModelCall): Tensor => net.forward(input, given);
    const given = (call ?? {}) as LanguageModelCall;
    checkAxes(owner, "input", x, ["batch", "length", ...x.shape.slice(2)]);
    const [batch, length] = x.shape as [number, number];
    const padding = (padTo - (length % padTo)) % padTo;
    if (padding === 0 || (given.state ?? null) !== null) return forward(x, given);
    const inputMask = given.inputMask ?? null;
    checkKeyMask(owner, inputMask, [batch, length]);
    // In a causal model nothing that counts sees what comes after it.
    const isUnseen = inputMask === null && !padLeft && transformerOf(net).plan.causal;
    const mask = isUnseen
      ? null
      : this.pad(inputMask ?? ones([batch, length], { dtype: "bool" }), padding);
    const y = forward(this.pad(x, padding), { ...given, inputMask: mask });
    return y.narrow(1, padLeft ? padding : 0, length);
  }

  private pad(x: Tensor, padding: number): Tensor {
    const last = x.shape.slice(2).flatMap(() => [0, 0]);
    return x.pad([...last, ...(this.padLeft ? [padding, 0] : [0, padding])]);
  }
}

function transformerOf(net: PaddedModel): LinearAttentionTransformer {
  return net instanceof LinearAttentionTransformer ? net : net.inner;
}
