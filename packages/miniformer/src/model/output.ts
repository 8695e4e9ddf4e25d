/** From hidden states to the outputs of a model. */

import { linear, type Tensor } from "@x/tensor";
import { Linear, Module, type Embedding, type Parameter, type TensorModule } from "@x/tensor/nn";
import type { TransformerConfig } from "../config/transformer-config.js";

/**
 * A map to logits with the matrix of the embeddings: `y = x Wᵀ`.
 *
 * @see Press, Wolf: Using the Output Embedding to Improve Language Models (2017)
 */
export class TiedProjection extends Module {
  /** [vocabSize, dModel] */
  readonly weight: Parameter;

  /** @param weight the matrix, which stays that of the embeddings */
  constructor(weight: Parameter) {
    super();
    this.weight = weight;
  }

  /** From [..., dModel] to [..., vocabSize]. */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight);
  }
}

/**
 * The map to the outputs; `null` where these are hidden states.
 *
 * @param isTiedByRule whether under `compat` the original's rule ties the map to the embeddings
 */
export function makeOutput(
  config: TransformerConfig,
  embedding: Embedding | null,
  isTiedByRule: boolean,
): TensorModule | null {
  const { tieEmbeddings, outputDim, dModel, compat, vocabSize, headBias: bias } = config;
  if (embedding !== null) {
    const isLarge = outputDim === null && vocabSize! >= 10 * dModel;
    const isTied = compat !== null && isTiedByRule && (outputDim === vocabSize || isLarge);
    if (tieEmbeddings || isTied) return new TiedProjection(embedding.weight);
  }
  if (outputDim === null || (compat !== null && outputDim === dModel)) return null;
  return new Linear(dModel, outputDim, { bias });
}
