/** The encoder: embeddings and layers. */

import type { Tensor } from "@x/tensor";
import { ModuleList, type Embedding } from "@x/tensor/nn";
import type { TransformerConfig } from "../config/transformer-config.js";
import { initializeWeights } from "./initialize.js";
import type { ModelState, ModelStateOptions } from "./language-model.js";
import { EncoderLayer } from "./layer.js";
import type { ModelParts } from "./parts.js";
import { makePositions, type PositionEncoding } from "./positions.js";
import { Stack, type StackCall, type StackResult } from "./stack.js";

/** A result of an encoder with the attention weights of its layers. */
export interface WeightedEncoding {
  /** [batch, length, dModel] */
  readonly output: Tensor;
  /** Of each layer, [batch, heads, length, length]. */
  readonly weights: readonly Tensor[];
}

/**
 * Embeddings of tokens or feature vectors, and layers of attention: hidden states for every position.
 * Where its configuration is causal, which it is for tokens unless said otherwise, it also decodes.
 *
 * @example
 * ```ts
 * const config = new TransformerConfig({ inputDim: 3, dModel: 16, nHeads: 2, nLayers: 2 });
 * const encoder = new Encoder(config);
 * console.log(encoder.forward(randn([2, 10, 3])).shape); // → [ 2, 10, 16 ]
 * ```
 */
export class Encoder extends Stack<EncoderLayer> {
  /** What is added to the embeddings, or `null`. */
  readonly posEmbedding: PositionEncoding | null;
  /** The layers in the order in which they are applied. */
  readonly layers: ModuleList<EncoderLayer>;

  /** @throws XError `argument` if both `vocabSize` and `inputDim` are given */
  constructor(
    config: TransformerConfig,
    parts: ModelParts = {},
    embedding: Embedding | null = null,
  ) {
    super("Encoder", config, embedding);
    this.posEmbedding = makePositions(config);
    this.layers = new ModuleList(
      Array.from({ length: config.nLayers }, (_, layer) => new EncoderLayer(config, layer, parts)),
    );
    initializeWeights(this, config.initializerRange);
  }

  /**
   * From tokens, int32 [batch, length], or feature vectors [batch, length, inputDim] to hidden states
   * [batch, length, dModel].
   *
   * @throws XError `shape`, `dtype` or `argument` if a tensor does not fit the model or the state
   */
  forward(input: Tensor, call: StackCall = {}): Tensor {
    const { x, finish } = this.compute(input, call);
    return finish(this.finalNorm(x));
  }

  /**
   * The same with the attention weights of all layers.
   *
   * @throws XError `argument` if a layer's attention is not that of softmax
   */
  forwardWithWeights(input: Tensor, call: StackCall = {}): WeightedEncoding {
    const weights: Tensor[] = [];
    const { x, finish } = this.compute(input, call, weights);
    return { output: finish(this.finalNorm(x)), weights };
  }

  /** What is remembered before the first token. */
  initState(options: ModelStateOptions): ModelState {
    return this.makeState(options);
  }

  /** @internal The results of the layers, before the last norm. */
  compute(input: Tensor, call: StackCall, weights: Tensor[] | null = null): StackResult {
    return this.computeWith(input, call, weights, (layer, x, own) => layer.forward(x, own));
  }

  protected override get positionEncodingOrNull(): PositionEncoding | null {
    return this.posEmbedding;
  }
}
