/**
 * The linear attention transformer: global linear heads, local windowed heads, and what belongs to
 * them.
 *
 * @module
 */

export type { Compatibility } from "./compatibility.js";
export { linearAttn, type LinearAttnOptions } from "./attention/linear-attn.js";
export { causalLinearAttn, type CausalLinearAttnOptions } from "./attention/causal-linear-attn.js";
export {
  SelfAttention,
  type SelfAttentionCall,
  type SelfAttentionOptions,
  type SelfAttentionState,
  type SelfAttentionStateOptions,
} from "./attention/self-attention.js";
export {
  LocalAttention,
  type LocalAttentionCall,
  type LocalAttentionOptions,
  type LocalState,
} from "./local/local-attention.js";
export { Chunk, type ChunkedModule, type ChunkOptions } from "./feedforward/chunk.js";
export { FeedForward, type FeedForwardOptions } from "./feedforward/feed-forward.js";
export { PKM, type PKMCall, type PKMOptions } from "./memory/pkm.js";
export {
  LinformerSelfAttention,
  type LinformerCall,
  type LinformerSelfAttentionOptions,
} from "./linformer/linformer-self-attention.js";
export {
  ImageLinearAttention,
  type ImageLinearAttentionCall,
  type ImageLinearAttentionOptions,
} from "./image/image-linear-attention.js";
export {
  LinearAttention,
  linearAttention,
  type LinearAttentionState,
} from "./mechanism/linear-attention.js";
export { AbsolutePositionalEmbedding } from "./embedding/absolute.js";
export {
  AxialPositionalEmbedding,
  type AxialPositionalEmbeddingOptions,
} from "./embedding/axial.js";
export {
  FixedPositionalEmbedding,
  type FixedPositionalEmbeddingOptions,
} from "./embedding/fixed.js";
export { applyRotoryPosEmb } from "./embedding/rotary.js";
export { FoldAxially } from "./axial/fold-axially.js";
export { PreShiftTokens, type PreShiftTokensOptions } from "./shift/pre-shift-tokens.js";
export type { Layer, LayerCall, LayerStateOptions } from "./stack/layer.js";
export { PreNorm, ProjectInOut, type ProjectInOutOptions } from "./stack/pre-norm.js";
export {
  ReversibleSequence,
  type Deterministic,
  type ReversibleBlock,
} from "./stack/reversible.js";
export type { ArgsRoute, LayerPair, Route, SequenceOptions } from "./stack/route.js";
export { SequentialSequence } from "./stack/sequential.js";
export {
  LinearAttentionTransformerLM,
  type LanguageModelCall,
  type LanguageModelState,
} from "./transformer/language-model.js";
export type {
  LinearAttentionTransformerLMOptions,
  LinearAttentionTransformerOptions,
} from "./transformer/options.js";
export type { TransformerPlan } from "./transformer/plan.js";
export { LinformerContextSettings, LinformerSettings } from "./transformer/settings.js";
export {
  LinearAttentionTransformer,
  type TransformerStateOptions,
} from "./transformer/transformer.js";
export {
  Autopadder,
  type AutopadderOptions,
  type PaddedCall,
  type PaddedModel,
} from "./generation/autopadder.js";
export {
  AutoregressiveWrapper,
  type AutoregressiveCall,
  type AutoregressiveWrapperOptions,
  type GenerateOptions,
} from "./generation/autoregressive-wrapper.js";
export { topK, topP, type FilterLogits, type FilterOptions } from "./generation/filters.js";
