/** Options of the transformer and its language model. */

import type { Compatibility } from "../compatibility.js";
import type { LinformerContextSettings, LinformerSettings } from "./settings.js";

/** Options of {@link LinearAttentionTransformer}. */
export interface LinearAttentionTransformerOptions {
  /** Size of the vectors. */
  readonly dim: number;
  /** How many layers of self-attention there are. */
  readonly depth: number;
  /** The longest sequence: where Linformer projects, and for positions. */
  readonly maxSeqLen: number;
  /** How many heads the attention has. Default 8. */
  readonly heads?: number;
  /** Size of a head. Default `dim / heads`; 64 in {@link LinearAttentionTransformerLM}. */
  readonly dimHead?: number | null;
  /** Whether a position sees only those up to itself. Default false. */
  readonly causal?: boolean;
  /** Into how many parts the sequence is cut for the feed-forward parts. Default 1. */
  readonly ffChunks?: number;
  /** Whether feed-forward parts are gated linear units. Default false. */
  readonly ffGlu?: boolean;
  /** Dropout within the feed-forward parts. Default 0. */
  readonly ffDropout?: number;
  /** Dropout of what the attention gives. Default 0. */
  readonly attnLayerDropout?: number;
  /** Dropout of the weights of local attention. Default 0. */
  readonly attnDropout?: number;
  /** Whether the stack is a {@link ReversibleSequence}. Default false. */
  readonly reversible?: boolean;
  /**
   * In causal models, the buckets within which global heads see nothing: they see what lies before the
   * bucket of the query. Default 1: exact, which costs no more here.
   */
  readonly blindspotSize?: number;
  /** How many of the heads are local, or how many in each layer. Default 0. */
  readonly nLocalAttnHeads?: number | readonly number[];
  /** The window of the local heads, and the row of `attendAxially`. Default 128. */
  readonly localAttnWindowSize?: number;
  /** Whether every layer is followed by attention to a context. Default false. */
  readonly receivesContext?: boolean;
  /** Whether every layer is followed by attention along every nth position. Default false. */
  readonly attendAxially?: boolean;
  /** Which layers, counted from 1, have a product-key memory for a feed-forward part. Default none. */
  readonly pkmLayers?: number | readonly number[];
  /** How many half keys a product-key memory has. Default 128. */
  readonly pkmNumKeys?: number;
  /** Linformer in the place of self-attention. Default: none. */
  readonly linformerSettings?: LinformerSettings | null;
  /** Linformer in the place of attention to the context. Default: none. */
  readonly contextLinformerSettings?: LinformerContextSettings | null;
  /** Whether half (causal) or two thirds of each vector come from the neighbours. Default false. */
  readonly shiftTokens?: boolean;
  /** Whether all heads share one head of keys and values. Default false. */
  readonly oneKvHead?: boolean;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** Options of {@link LinearAttentionTransformerLM}. */
export interface LinearAttentionTransformerLMOptions extends LinearAttentionTransformerOptions {
  /** How many kinds of tokens there are. */
  readonly numTokens: number;
  /** Size of the embeddings of tokens, mapped to `dim` and back where it differs. Default `dim`. */
  readonly embDim?: number | null;
  /** Whether the result is embeddings, not logits. Default false. */
  readonly returnEmbeddings?: boolean;
  /** Whether positions are an {@link AxialPositionalEmbedding}, else absolute ones. Default true. */
  readonly useAxialPosEmb?: boolean;
  /** Whether positions are waves and queries and keys are rotated by them. Default false. */
  readonly useRotaryEmb?: boolean;
}
