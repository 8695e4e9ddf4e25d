/** Scaled dot-product attention, dropout with recorded masks, rotary embedding. */

import { attentionWeights, scaledDotProductAttention, type Tensor } from "@x/tensor";
import type { Output } from "../subject.js";
import type { Operation } from "./operation.js";

/** Queries q, keys k, values v; optionally a `mask` (true: may attend) or a `bias` that is added. */
export const attention: Operation = (subject) => {
  const { settings } = subject;
  const [q, k, v] = [subject.input("q"), subject.input("k"), subject.input("v")];
  const scale = settings.number("scale");
  const attnMask = subject.optionalInput("mask") ?? subject.optionalInput("bias");
  const options = {
    isCausal: settings.boolean("causal") ?? settings.boolean("is_causal") ?? false,
    enableGqa: k.shape.at(-3) !== q.shape.at(-3),
    ...(scale !== undefined && { scale }),
    ...(attnMask && { attnMask }),
  };
  const outputs: Record<string, Output> = { y: scaledDotProductAttention(q, k, v, options) };
  if (subject.names("output").includes("weights")) {
    outputs.weights = attentionWeights(q, k, options);
  }
  return { outputs };
};

function withDropped(x: Tensor, keep: Tensor, p: number): Tensor {
  return x.mul(keep.float()).div(1 - p);
}

/** Dropout of `x`, or of the attention weights of `scores` before they meet `v`. */
export const dropout: Operation = (subject) => {
  const p = subject.settings.requiredNumber("p");
  const keep = subject.leaf("random.keep_mask");
  if (subject.hasInput("scores")) {
    const weights = withDropped(subject.input("scores").softmax(-1), keep, p);
    return { outputs: { y: weights.matmul(subject.input("v")) } };
  }
  return { outputs: { y: withDropped(subject.input("x"), keep, p) } };
};
