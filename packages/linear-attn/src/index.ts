/**
 * The linear attention transformer: global linear heads, local windowed heads, and what belongs to
 * them.
 *
 * @module
 */

export type { Compatibility } from "./compatibility.js";
export { linearAttn, type LinearAttnOptions } from "./attention/linear-attn.js";
export { causalLinearAttn, type CausalLinearAttnOptions } from "./attention/causal-linear-attn.js";
export { applyRotaryPosEmb } from "./attention/rotary.js";
export {
  SelfAttention,
  type SelfAttentionCall,
  type SelfAttentionOptions,
} from "./attention/self-attention.js";
export {
  LocalAttention,
  type LocalAttentionCall,
  type LocalAttentionOptions,
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
