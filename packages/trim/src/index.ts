/**
 * Cumulative linear attention and its transformer encoder, with a decode state of constant size.
 *
 * @module
 */

export type { Compatibility } from "./attention/compatibility.js";
export {
  cumulativeLinearAttn,
  type CumulativeLinearAttnOptions,
  type CumulativeLinearAttnResult,
} from "./attention/cumulative-linear-attn.js";
export type { CumulativeMask } from "./attention/mask.js";
export {
  CumulativeLinearAttention,
  type CumulativeLinearAttentionMechanismOptions,
} from "./attention/mechanism.js";
export {
  CumulativeLinearMultiheadAttentionKV,
  type CumulativeMultiheadCall,
  type CumulativeMultiheadOptions,
  type HeadNorm,
} from "./attention/multihead.js";
export type { CumulativeState } from "./attention/state.js";
export {
  CumulativeTransformerEncoderKV,
  type CumulativeEncoderCall,
  type CumulativeEncoderOptions,
  type EncoderState,
} from "./encoder/encoder.js";
export {
  CumulativeTransformerEncoderLayerKV,
  type CumulativeEncoderLayerCall,
  type CumulativeEncoderLayerOptions,
  type PositionalEmbedding,
} from "./encoder/layer.js";
