/** Which tokens a model predicts. */

import { check } from "@x/tensor/checks";
import type { LanguageModel } from "../model/language-model.js";

/** Checks that the model predicts tokens; gives how many it knows. */
export function vocabularyOf({ config }: LanguageModel): number {
  const { vocabSize, outputDim, tieEmbeddings, causal, compat } = config;
  check(
    vocabSize !== null,
    "argument",
    () =>
      "generate: the model must take tokens, got one of feature vectors. Make it with a vocabSize.",
  );
  check(
    // Under `compat` others may have a head too: whether there is one, its logits show.
    outputDim !== null || tieEmbeddings || compat !== null,
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
