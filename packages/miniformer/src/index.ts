/**
 * A small, complete transformer: its configuration, its models and generation.
 *
 * @module
 */

export {
  registerAttention,
  type AttentionSizes,
  type RegisteredAttention,
} from "./config/attention-registry.js";
export type {
  ActivationKind,
  AttentionSpec,
  ExpertsSpec,
  GatedActivation,
  LinearRotaryScaling,
  Llama3RotaryScaling,
  NamedAttention,
  PlainActivation,
  PoolingKind,
  PositionKind,
  RotaryScaling,
  TransformerFields,
  TransformerOptions,
  YarnRotaryScaling,
} from "./config/fields.js";
export { TransformerConfig } from "./config/transformer-config.js";
export { generate, Generation } from "./generation/generate.js";
export type { GeneratedSequence, GenerationStep } from "./generation/generate.js";
export type { EndReason } from "./generation/generated-row.js";
export type { GenerateOptions, LogitsContext, LogitsProcessor } from "./generation/options.js";
export type { Prompt } from "./generation/prompts.js";
export { StreamingDecoder } from "./generation/streaming-decoder.js";
export {
  MultiHeadAttention,
  type AttentionCall,
  type AttentionStateOptions,
  type MultiHeadAttentionOptions,
  type Projections,
  type WeightedAttention,
} from "./model/attention.js";
export {
  Decoder,
  type DecoderCall,
  type DecoderStateOptions,
  type WeightedDecoding,
} from "./model/decoder.js";
export { Encoder, type WeightedEncoding } from "./model/encoder.js";
export { FeedForward, type FeedForwardOptions } from "./model/feed-forward.js";
export type {
  LanguageModel,
  LanguageModelCall,
  ModelState,
  ModelStateOptions,
} from "./model/language-model.js";
export type { FeedForwardPart, ModelParts, PartPlace } from "./model/parts.js";
export { TiedProjection } from "./model/output.js";
export {
  BoundSeq2Seq,
  Seq2SeqTransformer,
  type BindOptions,
  type Seq2SeqCall,
} from "./model/seq2seq.js";
export type { StackCall } from "./model/stack.js";
export { Transformer } from "./model/transformer.js";
export type { AttentionGuide } from "./model/visibility.js";
export type { Tokenizer } from "./tokenizers/tokenizer.js";
