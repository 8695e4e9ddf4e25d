/** What generation needs of a model. */

import type { Device, Tensor } from "@x/tensor";
import type { AttentionState, Module } from "@x/tensor/nn";
import type { TransformerConfig } from "../config/transformer-config.js";

/**
 * What a model remembers of the tokens so far: a flat record of tensors that calls update in place.
 * Names begin with the layer, such as `layers.0.keys`. The first axis of a tensor that has axes is
 * the batch.
 */
export interface ModelState extends AttentionState {
  /** How many tokens of each sequence were seen, padding not counted; int32 [batch]. */
  readonly position: Tensor;
}

/** What a call may come with besides the tokens. */
export interface LanguageModelCall {
  /** Bool [batch, length]: true for tokens, false for padding. Default: all are tokens. */
  readonly keyMask?: Tensor | null;
  /** What is remembered of the tokens before; updated in place when the result is computed. */
  readonly state?: ModelState | null;
}

/** For what a state is made. */
export interface ModelStateOptions {
  /** How many sequences. */
  readonly batch: number;
  /** How many tokens it must be able to hold. Default: as many as the model has positions. */
  readonly capacity?: number;
  /** Whether calls come with a key mask. Default false. */
  readonly masked?: boolean;
  /** Where it lives. Default: where the model is. */
  readonly device?: Device;
}

/** A causal model of tokens: what `generate` works on. */
export interface LanguageModel extends Module {
  /** What the model is made of. */
  readonly config: TransformerConfig;
  /**
   * Whether masked padding before a sequence changes its results: `generate` then goes through prompts of
   * different lengths apart. Only for models whose rows do not depend on their places in the batch.
   * Default false.
   */
  readonly dependsOnPadding?: boolean;
  /** The logits of the token after each: int32 [batch, length] to [batch, length, vocabSize]. */
  forward(tokens: Tensor, call?: LanguageModelCall): Tensor;
  /** The logits of the token after the last that is no padding: int32 [batch, length] to [batch, vocabSize]. */
  next(tokens: Tensor, call?: LanguageModelCall): Tensor;
  /** The state before the first token. */
  initState(options: ModelStateOptions): ModelState;
}
