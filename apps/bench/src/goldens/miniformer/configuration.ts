/** The configuration of a model from a golden file. */

import { TransformerConfig, type ActivationKind, type TransformerOptions } from "@x/miniformer";
import type { Subject } from "../subject.js";

/** Everything the original's configuration says; `changes` go over it. */
export function configurationOf(
  { settings }: Subject,
  changes: TransformerOptions = {},
): TransformerConfig {
  const inputDim = settings.number("input_dim") ?? null;
  return new TransformerConfig({
    // The original always has a vocabulary, and leaves it alone where inputs are feature vectors.
    vocabSize: inputDim === null ? settings.requiredNumber("vocab_size") : null,
    inputDim,
    outputDim: settings.number("output_dim") ?? null,
    dModel: settings.requiredNumber("d_model"),
    nHeads: settings.requiredNumber("n_heads"),
    nLayers: settings.requiredNumber("n_layers"),
    dFf: settings.number("d_ff"),
    dropout: settings.number("dropout"),
    activation: activationOf(settings.string("activation")),
    preNorm: settings.boolean("pre_norm"),
    layerNormEps: settings.number("layer_norm_eps"),
    maxSeqLen: settings.number("max_seq_len"),
    initializerRange: settings.number("initializer_range"),
    shareEmbeddings: settings.boolean("share_embeddings"),
    useCausalMask: settings.boolean("use_causal_mask"),
    bosTokenId: settings.number("bos_token_id"),
    compat: "reference",
    ...changes,
  });
}

/** An activation by its name, which the constructor that is given it checks. */
export function activationOf(name: string | undefined): ActivationKind | undefined {
  return name as ActivationKind | undefined;
}
