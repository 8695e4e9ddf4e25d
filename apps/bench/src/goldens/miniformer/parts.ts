/** Attention, feed-forward networks and embeddings by themselves. */

import { cat, zeros, zerosLike, type Tensor } from "@x/tensor";
import { SinusoidalPositionalEncoding } from "@x/tensor/nn";
import {
  Encoder,
  FeedForward,
  MultiHeadAttention,
  TransformerConfig,
  type ModelParts,
} from "@x/miniformer";
import { loadParameters } from "../modules.js";
import type { Output, Runner, Subject } from "../subject.js";
import { activationOf } from "./configuration.js";

/** Keys and values, those of the past included, with what is attended to after them. */
export const runAttention: Runner = (subject) => {
  const { settings } = subject;
  const attention = new MultiHeadAttention({
    dModel: settings.requiredNumber("d_model"),
    nHeads: settings.requiredNumber("n_heads"),
    dropout: settings.number("dropout") ?? 0,
    compat: "reference",
  }).eval();
  const parameters = loadParameters(attention, subject);
  const q = subject.input("q");
  const memory = subject.optionalInput("kv") ?? null;
  const mask = maskOf(subject, "mask");
  const heads = attention.project(q, memory ?? q);
  const withPast = (past: string, own: Tensor): Tensor =>
    subject.hasInput(past) ? cat([subject.input(past), own], 2) : own;
  const [key, value] = [withPast("past_k", heads.key), withPast("past_v", heads.value)];
  const { output, weights } = subject.hasInput("past_k")
    ? attention.forwardHeads({ query: heads.query, key, value }, { mask })
    : attention.forwardWithWeights(q, { memory, mask });
  return { outputs: { y: output, attention: weights, new_k: key, new_v: value }, parameters };
};

/** A mask; one of three axes has none for heads. */
export function maskOf(subject: Subject, name: string): Tensor | null {
  const mask = subject.optionalInput(name) ?? null;
  return mask?.rank === 3 ? mask.unsqueeze(1) : mask;
}

/** The network of one activation. */
export const runFeedForward: Runner = (subject) => {
  const { settings } = subject;
  const activation = activationOf(settings.string("activation"));
  const dFf = settings.number("d_ff");
  const network = new FeedForward({
    dModel: settings.requiredNumber("d_model"),
    ...(dFf !== undefined && { dFf }),
    ...(activation && { activation }),
    dropout: settings.number("dropout") ?? 0,
  }).eval();
  const parameters = loadParameters(network, subject);
  return { outputs: { y: network.forward(subject.input("x")) }, parameters };
};

class SilentAttention extends MultiHeadAttention {
  override forward(query: Tensor): Tensor {
    return zerosLike(query);
  }
}

class SilentFeedForward extends FeedForward {
  override forward(x: Tensor): Tensor {
    return zerosLike(x);
  }
}

/** Layers that add nothing: what comes out of a model are its embeddings. */
const silent: ModelParts = {
  attention: (options) => new SilentAttention(options),
  feedForward: (options) => new SilentFeedForward(options),
};

/** The embeddings of tokens as models have them, and the table of sinusoidal positions. */
export const runEmbeddings: Runner = (subject) => {
  const { settings } = subject;
  const dModel = settings.requiredNumber("d_model");
  const outputs: Record<string, Output> = {};
  const parameters = new Map<string, Tensor>();
  if (subject.hasInput("tokens")) {
    const vocabSize = settings.requiredNumber("vocab_size");
    const encoder = new Encoder(
      new TransformerConfig({
        ...{ vocabSize, dModel, nHeads: 1, nLayers: 1, positions: "none" },
        compat: "reference",
      }),
      silent,
    ).eval();
    const name = subject.names("param").find((parameter) => parameter.endsWith("embedding.weight"));
    if (name === undefined) throw new Error("the file must hold the vectors of the tokens");
    const { weight } = encoder.tokenEmbedding!;
    weight.assign(subject.stateDict().get(name)!);
    parameters.set(name, weight);
    outputs.token = encoder.forward(subject.input("tokens"));
  }
  const positions = new SinusoidalPositionalEncoding(dModel);
  const length = settings.number("max_seq_len") ?? 512;
  outputs.table = positions.forward(zeros([length, dModel]));
  if (subject.hasInput("x")) outputs.positional = positions.forward(subject.input("x"));
  return { outputs, parameters };
};
