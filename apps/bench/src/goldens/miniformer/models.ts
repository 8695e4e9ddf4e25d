/** Encoder, decoder, transformer and encoder–decoder. */

import { ones, type Tensor } from "@x/tensor";
import { Linear, type Module } from "@x/tensor/nn";
import {
  Decoder,
  Encoder,
  MultiHeadAttention,
  Seq2SeqTransformer,
  Transformer,
  type AttentionGuide,
  type ModelParts,
  type Projections,
  type WeightedDecoding,
} from "@x/miniformer";
import { loadParameters } from "../modules.js";
import type { Results, Runner, Subject } from "../subject.js";
import { configurationOf } from "./configuration.js";
import { maskOf } from "./parts.js";

/** Tokens or feature vectors. */
export function inputOf(subject: Subject): Tensor {
  return subject.input(subject.hasInput("tokens") ? "tokens" : "x");
}

/** `<name>.0`, `<name>.1`, … */
function numbered(name: string, tensors: readonly Tensor[]): Results["outputs"] {
  return Object.fromEntries(tensors.map((tensor, i) => [`${name}.${i}`, tensor]));
}

/** Everything is visible: what the original's encoder does without a mask. */
const noMask = (): Tensor => ones([1, 1], { dtype: "bool" });

/** `Encoder`: hidden states, and the weights of all layers. */
export const runEncoder: Runner = (subject) => {
  const encoder = new Encoder(configurationOf(subject)).eval();
  const parameters = loadParameters(encoder, subject);
  const x = inputOf(subject);
  const mask = maskOf(subject, "mask") ?? noMask();
  const { weights } = encoder.forwardWithWeights(x, { mask });
  return {
    outputs: { y: encoder.forward(x, { mask }), ...numbered("attention", weights) },
    parameters,
  };
};

const weightsOf = ({ selfAttention, crossAttention }: WeightedDecoding): Results["outputs"] => ({
  ...numbered("self_attention", selfAttention),
  ...numbered("cross_attention", crossAttention),
});

/** `Decoder`, whose outputs are logits unless there is another number of them. */
export const runDecoder: Runner = (subject) => {
  const config = configurationOf(subject);
  const { dModel } = config;
  const head = subject.recorded.get("param.output_projection.weight");
  const outputDim = head?.shape[0] ?? null;
  const decoder = new Decoder(config.with({ outputDim })).eval();
  // By itself the original's decoder has a map also to `dModel` outputs.
  if (outputDim === dModel) decoder.outputProjection = new Linear(dModel, dModel);
  const parameters = loadParameters(decoder, subject);
  const memory = subject.input("memory");
  const call = {
    mask: maskOf(subject, "self_attn_mask"),
    memoryMask: maskOf(subject, "cross_attn_mask"),
  };
  const x = inputOf(subject);
  return {
    outputs: {
      y: decoder.forward(x, memory, call),
      hidden: decoder.hidden(x, memory, call),
      ...weightsOf(decoder.forwardWithWeights(x, memory, call)),
    },
    parameters,
  };
};

/** Attention that tells which mask it was given. */
class ObservedAttention extends MultiHeadAttention {
  observe: (mask: Tensor | null) => void = () => undefined;

  override attend(heads: Projections, guide: AttentionGuide): Tensor {
    this.observe(guide.mask);
    return super.attend(heads, guide);
  }
}

/** `Transformer`: outputs, hidden states, weights, and the mask that it makes if it is given none. */
export const runTransformer: Runner = (subject) => {
  let seen: Tensor | null = null;
  const parts: ModelParts = {
    attention: (options) => {
      const attention = new ObservedAttention(options);
      attention.observe = (mask) => (seen = mask);
      return attention;
    },
  };
  const model = new Transformer(configurationOf(subject), parts).eval();
  const parameters = loadParameters(model, subject);
  const x = inputOf(subject);
  const call = { mask: maskOf(subject, "mask") };
  const [batch, length] = x.shape as [number, number];
  const y = model.forward(x, call);
  const everything = ones([batch, 1, length, length], { dtype: "bool" });
  const { weights } = model.forwardWithWeights(x, call);
  return {
    outputs: {
      y,
      hidden: model.hidden(x, call),
      mask: seen === null ? everything : everything.logicalAnd(seen),
      ...numbered("attention", weights),
    },
    parameters,
  };
};

/** `Seq2SeqTransformer`. */
export const runSeq2Seq: Runner = (subject) => {
  const model = new Seq2SeqTransformer(configurationOf(subject)).eval();
  const parameters = loadParameters(model, subject);
  const [source, target] = [subject.input("src"), subject.input("tgt")];
  if (["src_mask", "tgt_mask", "memory_mask"].some((name) => subject.hasInput(name))) {
    return { outputs: withMasks(model, subject), parameters };
  }
  return {
    outputs: {
      y: model.forward(source, target),
      ...weightsOf(model.forwardWithWeights(source, target)),
    },
    parameters,
  };
};

/** Masks for single pairs of positions go to encoder and decoder; where there is none, padding is masked. */
function withMasks(
  { encoder, decoder }: Seq2SeqTransformer,
  subject: Subject,
): Results["outputs"] {
  const [source, target] = [subject.input("src"), subject.input("tgt")];
  const sourceMask = maskOf(subject, "src_mask");
  const isReal = source.dtype === "int32" ? source.ne(0).unsqueeze(1).unsqueeze(1) : null;
  const memory = encoder.forward(source, { mask: sourceMask });
  const call = {
    mask: maskOf(subject, "tgt_mask"),
    memoryMask: maskOf(subject, "memory_mask") ?? isReal,
  };
  return {
    y: decoder.forward(target, memory, call),
    ...weightsOf(decoder.forwardWithWeights(target, memory, call)),
  };
}

/** The model with the recorded parameters: an encoder–decoder if they are those of one. */
export function loadModel(subject: Subject): {
  readonly model: Transformer | Seq2SeqTransformer;
  readonly parameters: ReadonlyMap<string, Tensor>;
} {
  const config = configurationOf(subject);
  const isSeq2Seq = subject.names("param").some((name) => name.startsWith("decoder."));
  const model: (Transformer | Seq2SeqTransformer) & Module = isSeq2Seq
    ? new Seq2SeqTransformer(config)
    : new Transformer(config);
  return { model, parameters: loadParameters(model, subject) };
}
