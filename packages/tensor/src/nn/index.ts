/**
 * Neural networks: modules and what they are made of.
 *
 * @module
 */

export {
  activationByName,
  ELU,
  GELU,
  LeakyReLU,
  LogSigmoid,
  LogSoftmax,
  ReLU,
  Sigmoid,
  SiLU,
  Softmax,
  Softplus,
  Tanh,
} from "./activations.js";
export type { Activation, ActivationName, GELUOptions, SoftplusOptions } from "./activations.js";
export { forkState, knownLength, rememberLength } from "./attention-mechanism.js";
export type {
  AttentionMechanism,
  AttentionState,
  MechanismOptions,
  StateOptions,
  StepOptions,
} from "./attention-mechanism.js";
export { Identity, ModuleList, Sequential } from "./containers.js";
export type { TensorModule } from "./containers.js";
export { Conv1d, Conv2d } from "./convolution.js";
export type { ConvolutionModuleOptions } from "./convolution.js";
export { Dropout } from "./dropout.js";
export { Embedding } from "./embedding.js";
export type { EmbeddingModuleOptions } from "./embedding.js";
export * as init from "./init.js";
export { Linear } from "./linear.js";
export type { LinearOptions } from "./linear.js";
export {
  BCELoss,
  BCEWithLogitsLoss,
  CrossEntropyLoss,
  HuberLoss,
  KLDivLoss,
  L1Loss,
  MSELoss,
  NLLLoss,
  SmoothL1Loss,
} from "./losses.js";
export type { BCELossOptions, HuberLossOptions, SmoothL1LossOptions } from "./losses.js";
export { Module } from "./module.js";
export { MultiheadAttention } from "./multihead-attention.js";
export type {
  MultiheadAttentionCall,
  MultiheadAttentionOptions,
  MultiheadAttentionResult,
} from "./multihead-attention.js";
export { LayerNorm, RMSNorm } from "./normalization.js";
export type { LayerNormModuleOptions, RMSNormModuleOptions } from "./normalization.js";
export { Buffer, Parameter } from "./parameter.js";
export type { BufferOptions, ParameterOptions } from "./parameter.js";
export { LearnedPositionalEncoding, SinusoidalPositionalEncoding } from "./positional-encodings.js";
export type { SinusoidalOptions } from "./positional-encodings.js";
export type { PositionOptions } from "./positions.js";
export { RotaryEmbedding, rotatePairs } from "./rotary-embedding.js";
export type { RotaryLayout, RotaryOptions, RotaryTable } from "./rotary-embedding.js";
export { SoftmaxAttention } from "./softmax-attention.js";
export type { SoftmaxAttentionOptions, SoftmaxState } from "./softmax-attention.js";
export type { LoadOptions, LoadReport, StateDict } from "./state-dict.js";
export { TransformerDecoder, TransformerDecoderLayer } from "./transformer-decoder.js";
export type { DecoderLayer, TransformerDecoderCall } from "./transformer-decoder.js";
export { TransformerEncoder, TransformerEncoderLayer } from "./transformer-encoder.js";
export type {
  EncoderLayer,
  TransformerEncoderCall,
  TransformerEncoderLayerCall,
} from "./transformer-encoder.js";
export type { TransformerLayerOptions, TransformerStackOptions } from "./transformer-layer.js";
export { withUpdates } from "./updates.js";
export type { Update } from "./updates.js";
