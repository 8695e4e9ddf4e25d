/** How the parts of layers are made from a configuration, and how others take their place. */

import type { Tensor } from "@x/tensor";
import { check } from "@x/tensor/checks";
import type { AttentionMechanism, Module } from "@x/tensor/nn";
import { registeredAttention } from "../config/attention-registry.js";
import { isMechanism, type TransformerConfig } from "../config/transformer-config.js";
import { MultiHeadAttention, type MultiHeadAttentionOptions } from "./attention.js";
import { FeedForward, type FeedForwardOptions } from "./feed-forward.js";

/** Where in a model a part stands. */
export interface PartPlace {
  /** The number of its layer, from 0. */
  readonly layer: number;
  /** Whether it attends to the positions of its own sequence or to a memory; of feed-forward parts `"self"`. */
  readonly kind: "self" | "cross";
  /** The configuration of the model. */
  readonly config: TransformerConfig;
}

/** A module that takes the place of a feed-forward part. */
export interface FeedForwardPart extends Module {
  /** From [batch, length, dModel] to the same shape. */
  forward(x: Tensor): Tensor;
}

/** Functions that make parts of layers, instead of those that models have by themselves. */
export interface ModelParts {
  /** Makes the attention of a layer. */
  readonly attention?: (options: MultiHeadAttentionOptions, place: PartPlace) => MultiHeadAttention;
  /** Makes the feed-forward part of a layer, such as a mixture of experts. */
  readonly feedForward?: (options: FeedForwardOptions, place: PartPlace) => FeedForwardPart;
}

/** The attention of a layer. */
export function makeAttention(place: PartPlace, parts: ModelParts): MultiHeadAttention {
  const { layer, kind, config } = place;
  const { mechanism, needsNorm } =
    kind === "self" ? mechanismOf(config, layer) : { mechanism: null, needsNorm: false };
  const { dModel, nHeads, nKvHeads, headDim, qkvBias, outputBias, compat } = config;
  const options: MultiHeadAttentionOptions = {
    ...{ dModel, nHeads, nKvHeads, headDim, qkvBias, outputBias, compat, mechanism },
    dropout: config.attentionDropout,
    qkNorm: (config.qkNorm ?? needsNorm) ? config : null,
    slidingWindow: kind === "self" ? config.windowOf(layer) : null,
    alibi: kind === "self" && config.positions === "alibi",
  };
  return parts.attention?.(options, place) ?? new MultiHeadAttention(options);
}

/** The feed-forward part of a layer. */
export function makeFeedForward(place: PartPlace, parts: ModelParts): FeedForwardPart {
  const { dModel, dFf, activation, ffBias: bias, dropout, experts } = place.config;
  const options: FeedForwardOptions = { dModel, dFf, activation, bias, dropout };
  check(
    experts === null || parts.feedForward !== undefined,
    "argument",
    () =>
      "Transformer: a configuration with experts needs the module for them, got none. Pass the parts of @x/miniformer/adaptation to the model.",
  );
  return parts.feedForward?.(options, place) ?? new FeedForward(options);
}

/** What computes the attention of a layer; `null` for exact softmax attention. */
export function mechanismOf(
  config: TransformerConfig,
  layer: number,
): { readonly mechanism: AttentionMechanism | null; readonly needsNorm: boolean } {
  const spec = config.attentionOf(layer);
  if (isMechanism(spec)) return { mechanism: spec, needsNorm: false };
  const { name, ...options } = typeof spec === "string" ? { name: spec } : spec;
  if (name === "softmax") return { mechanism: null, needsNorm: false };
  const { headDim, maxSeqLen: length, nHeads } = config;
  const registered = registeredAttention(name);
  const mechanism = registered.make({ headDim, length, nHeads, options });
  return { mechanism, needsNorm: registered.needsNorm ?? false };
}
