/** What generation reads from a model, and its checks. */

import { check } from "@x/tensor/checks";
import type { LanguageModel } from "../model/language-model.js";

/** A model of tokens with what generation reads of its configuration. */
export interface GenerationModel extends LanguageModel {
  readonly config: {
    readonly vocabSize: number | null;
    readonly outputDim: number | null;
    readonly tieEmbeddings: boolean;
    readonly causal: boolean;
    readonly maxSeqLen: number;
    readonly bosTokenId: number | null;
    readonly eosTokenId: number | readonly number[] | null;
    readonly padTokenId: number | null;
  };
}

/** Checks that the model predicts tokens; gives how many it knows. */
export function vocabularyOf({ config }: GenerationModel): number {
  const { vocabSize, outputDim, tieEmbeddings, causal } = config;
  check(
    vocabSize !== null,
    "argument",
    () =>
      "generate: the model must take tokens, got one of feature vectors. Make it with a vocabSize.",
  );
  check(
    outputDim !== null || tieEmbeddings,
    "argument",
    () =>
      "generate: the model must have a head that predicts tokens, got one that ends with hidden states. Make it with outputDim equal to vocabSize, or with tieEmbeddings.",
  );
  check(
    outputDim === null || outputDim === vocabSize,
    "argument",
    () =>
      `generate: the model's head must predict the tokens of its vocabulary, got outputDim ${outputDim} and vocabSize ${vocabSize}. Make it with outputDim equal to vocabSize.`,
  );
  check(
    causal,
    "argument",
    () =>
      "generate: the model must see only tokens before each, got one that is not causal. Make it with causal: true.",
  );
  return vocabSize;
}
