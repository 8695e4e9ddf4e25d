/** What neural networks are made of, as functions of tensors. */

export {
  attentionWeights,
  scaledDotProductAttention,
  type AttentionOptions,
  type VisibilityOptions,
} from "./attention.js";
export { conv1d, conv2d, type ConvolutionOptions, type PerAxis } from "./convolution.js";
export { dropout, type DropoutOptions } from "./dropout.js";
export {
  embedding,
  embeddingBag,
  linear,
  type EmbeddingBagOptions,
  type EmbeddingOptions,
} from "./embedding.js";
export {
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  cosineEmbeddingLoss,
  cosineSimilarity,
  crossEntropy,
  huberLoss,
  klDiv,
  l1Loss,
  mseLoss,
  nllLoss,
  smoothL1Loss,
  type BinaryCrossEntropyOptions,
  type CrossEntropyOptions,
  type KlDivOptions,
  type LossOptions,
  type NllLossOptions,
  type Reduction,
} from "./losses.js";
export {
  batchNorm,
  layerNorm,
  normalize,
  rmsNorm,
  type BatchNormOptions,
  type LayerNormOptions,
  type NormalizeOptions,
  type RmsNormOptions,
} from "./normalization.js";
