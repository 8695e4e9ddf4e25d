/** The transformer: an encoder, causal or not, and a map to the outputs. */

import type { Tensor } from "@x/tensor";
import { check } from "@x/tensor/checks";
import { Linear, Module, type Embedding, type TensorModule } from "@x/tensor/nn";
import type { TransformerConfig } from "../config/transformer-config.js";
import { Encoder, type WeightedEncoding } from "./encoder.js";
import { initializeWeights } from "./initialize.js";
import type { LanguageModel, ModelState, ModelStateOptions } from "./language-model.js";
import { makeOutput } from "./output.js";
import type { ModelParts } from "./parts.js";
import { pool, positionOf } from "./pooling.js";
import type { StackCall } from "./stack.js";

const owner = "Transformer";

/**
 * A transformer of one stack of layers: a language model where it is causal (decoder-only), else an
 * encoder. Takes tokens or feature vectors, and gives logits, other outputs, or hidden states; for every
 * position or, with `pooling`, for the whole sequence.
 *
 * @example A language model, token by token
 * ```ts
 * const config = TransformerConfig.tiny({ vocabSize: 50, dModel: 16, positions: "rotary" });
 * const model = new Transformer(config).eval();
 * const tokens = randint(50, [1, 12]);
 * const whole = model.forward(tokens);
 *
 * const state = model.initState({ batch: 1, capacity: 12 });
 * await model.next(tokens.narrow(1, 0, 11), { state }).data();
 * const last = model.next(tokens.narrow(1, 11, 1), { state });
 * const difference = last.sub(whole.narrow(1, 11, 1).squeeze(1)).abs().max();
 * console.log(whole.shape, (await difference.item()) < 1e-4); // → [ 1, 12, 50 ] true
 * ```
 *
 * @example A classifier of sequences
 * ```ts
 * const config = new TransformerConfig({
 *   inputDim: 3,
 *   outputDim: 5,
 *   dModel: 16,
 *   nHeads: 2,
 *   nLayers: 1,
 *   pooling: "mean",
 * });
 * console.log(new Transformer(config).forward(randn([4, 20, 3])).shape); // → [ 4, 5 ]
 * ```
 */
export class Transformer extends Module implements LanguageModel {
  /** What it is made of. */
  config: TransformerConfig;
  /** Embeddings and layers. */
  readonly encoder: Encoder;
  /** The vectors of tokens, those of the encoder; `null` for a model of features. */
  readonly tokenEmbedding: Embedding | null;
  /** From feature vectors, that of the encoder; `null` for a model of tokens. */
  readonly inputProjection: Linear | null;
  /** To the outputs; `null` where these are hidden states. Another module may take its place. */
  outputProjection: TensorModule | null;
  /** The map of the first position for `forwardPooled`, or `null`. */
  readonly pooler: Linear | null;

  /**
   * @param parts what makes parts of the layers in another way
   * @throws XError `argument` if both `vocabSize` and `inputDim` are given
   */
  constructor(config: TransformerConfig, parts: ModelParts = {}) {
    super();
    this.config = config;
    this.encoder = new Encoder(config, parts);
    this.tokenEmbedding = this.encoder.tokenEmbedding;
    this.inputProjection = this.encoder.inputProjection;
    this.outputProjection = makeOutput(config, this.tokenEmbedding, true);
    this.pooler = config.pooler ? new Linear(config.dModel, config.dModel) : null;
    for (const part of [this.outputProjection, this.pooler]) {
      if (part instanceof Linear) initializeWeights(part, config.initializerRange);
    }
  }

  /** Whether masked padding before a sequence changes its results, as a layer's mechanism says. */
  get dependsOnPadding(): boolean {
    return this.encoder.dependsOnPadding;
  }

  /**
   * From tokens, int32 [batch, length], or feature vectors [batch, length, inputDim] to
   * [batch, length, outputs] or, with pooling, [batch, outputs].
   *
   * With a state the tokens follow those of the calls before, and the result is that of one call for all.
   * The state changes when the result is computed; compute it before the next call. Learned positions end
   * at `maxSeqLen`: where padding hides how many tokens there are, those beyond have the last position.
   *
   * @throws XError `shape`, `dtype` or `argument` if a tensor does not fit the model or the state
   */
  forward(input: Tensor, call: StackCall = {}): Tensor {
    const { pooling, compat } = this.config;
    const { x, finish, keyMask } = this.encoder.compute(input, call);
    const hidden = this.encoder.finalNorm(x);
    if (pooling === "none") return finish(this.project(hidden));
    check(
      !call.state,
      "argument",
      () =>
        `${owner}: pooling needs the whole sequence, got a call with a state. Call it without, or configure pooling: "none".`,
    );
    return this.project(pool(hidden, pooling, compat === null ? keyMask : null));
  }

  /**
   * What `forward` gives for the last real position of each sequence, [batch, outputs], without pooling:
   * the outputs of the others are not computed.
   */
  next(input: Tensor, call: StackCall = {}): Tensor {
    const { x, finish, keyMask } = this.encoder.compute(input, call);
    const last = positionOf(x, "last", keyMask);
    return finish(this.project(this.encoder.finalNorm(last)));
  }

  /** Hidden states, [batch, length, dModel]: what the map to the outputs is given. */
  hidden(input: Tensor, call: StackCall = {}): Tensor {
    return this.encoder.forward(input, call);
  }

  /**
   * `tanh` of a map of the first position, [batch, dModel], as BERT gives it.
   *
   * @throws XError `argument` if the model has none
   */
  forwardPooled(input: Tensor, call: StackCall = {}): Tensor {
    const { pooler } = this;
    check(
      pooler !== null,
      "argument",
      () =>
        `${owner}: forwardPooled needs a model with a pooler, got none. Configure pooler: true.`,
    );
    const hidden = this.encoder.forward(input, call);
    return pooler.forward(hidden.narrow(1, 0, 1).squeeze(1)).tanh();
  }

  /**
   * Outputs for every position, and the attention weights of all layers.
   *
   * @throws XError `argument` if a layer's attention is not that of softmax
   */
  forwardWithWeights(input: Tensor, call: StackCall = {}): WeightedEncoding {
    const { output, weights } = this.encoder.forwardWithWeights(input, call);
    return { output: this.project(output), weights };
  }

  /**
   * What is remembered before the first token: a flat record of tensors that calls update in place. Copy
   * it with `forkState` of `@x/tensor/nn` to go on in two ways.
   *
   * @throws XError `argument` if the model is not causal, or a layer's mechanism has no state
   */
  initState(options: ModelStateOptions): ModelState {
    return this.encoder.initState(options);
  }

  private project(hidden: Tensor): Tensor {
    return this.outputProjection?.forward(hidden) ?? hidden;
  }
}
