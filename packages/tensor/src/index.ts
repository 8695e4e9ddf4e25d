/** Tensors with automatic differentiation, computed lazily on interchangeable devices. */

export { XError, type XErrorCode } from "./error.js";
export type { Device, DeviceBuffer, KernelTiming, MemoryUse } from "./device/device.js";
export { getDevice, setDevice } from "./device/current.js";
export { enableRevectorization, setThreads, wasm } from "./wasm/device.js";
export { reference } from "./reference/device.js";
export { profile, type Profile } from "./plan/profile.js";
export type { DType } from "./tensor/dtype.js";
export type { NestedArray } from "./tensor/data.js";
export type { Shape } from "./tensor/shape.js";
export type { Operand } from "./tensor/operand.js";
export type { Axes, ReduceOptions, ValuesAndIndices, VarianceOptions } from "./tensor/reduce.js";
export type { SliceSpec } from "./tensor/slicing.js";
export { Tensor } from "./tensor/tensor.js";
export {
  arange,
  eye,
  fromData,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  tensor,
  zeros,
  zerosLike,
  type TensorOptions,
  type TypedArray,
} from "./tensor/creation.js";
export { broadcastTensors, cat, einsum, meshgrid, stack, where } from "./tensor/joining.js";
export {
  cumulativeLinearAttention,
  type CumulativeLinearAttentionOptions,
  type CumulativeLinearAttentionResult,
} from "./tensor/linear-attention.js";
export {
  emptyFeatureAttentionState,
  featureAttention,
  type FeatureAttentionOptions,
  type FeatureAttentionResult,
  type FeatureAttentionState,
  type RandomFeatures,
} from "./tensor/feature-attention.js";
export { kernelHalving, type KernelHalvingOptions } from "./tensor/kernel-halving.js";
export { peek } from "./tensor/peek.js";
export { memory, realize } from "./tensor/realize.js";
export { enableGrad, grad, noGrad, valueAndGrad, type ValueAndGrad } from "./tensor/grad.js";
export { checkpoint } from "./tensor/checkpoint.js";
export { reversible } from "./tensor/reversible.js";
export { customGradient, type CustomGradientResult } from "./tensor/custom-gradient.js";
export * as functional from "./tensor/functional.js";
export {
  attentionWeights,
  batchNorm,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  conv1d,
  conv2d,
  cosineEmbeddingLoss,
  cosineSimilarity,
  crossEntropy,
  dropout,
  embedding,
  embeddingBag,
  huberLoss,
  klDiv,
  l1Loss,
  layerNorm,
  linear,
  mseLoss,
  nllLoss,
  normalize,
  rmsNorm,
  scaledDotProductAttention,
  smoothL1Loss,
  type AttentionOptions,
  type BatchNormOptions,
  type BinaryCrossEntropyOptions,
  type ConvolutionOptions,
  type CrossEntropyOptions,
  type DropoutOptions,
  type EmbeddingBagOptions,
  type EmbeddingOptions,
  type KlDivOptions,
  type LayerNormOptions,
  type LossOptions,
  type NllLossOptions,
  type NormalizeOptions,
  type PerAxis,
  type Reduction,
  type RmsNormOptions,
  type VisibilityOptions,
} from "./tensor/functional.js";
export {
  bernoulli,
  manualSeed,
  multinomial,
  rand,
  randint,
  randLike,
  randn,
  randnLike,
  randperm,
  type Generator,
  type MultinomialOptions,
  type RandomOptions,
} from "./random/index.js";
export type { SortOptions, TopkOptions } from "./tensor/sort.js";
export { defineOp, type GradientContext, type OpDefinition } from "./tensor/define-op.js";
export type { Attribute, Attributes, Spec } from "./graph/node.js";
