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
export type { AttentionMemory, CumulativeState } from "./state/cumulative-state.js";
export { CumulativeLinearMultiheadAttentionKV } from "./multihead/multihead-attention.js";
export type { CumulativeCall, CumulativeMultiheadOptions, HeadNorm } from "./multihead/options.js";
export {
  CumulativeTransformerEncoderKV,
  type CumulativeEncoderOptions,
} from "./encoder/encoder.js";
export {
  CumulativeTransformerEncoderLayerKV,
  type CumulativeEncoderLayerOptions,
  type PositionalEmbedding,
} from "./encoder/layer.js";
export {
  CumulativeLinearAttention,
  type CumulativeLinearAttentionMechanismOptions,
} from "./mechanism/cumulative-linear-attention.js";
