/** Indexing, scattering, embeddings, sorting. */

import { embedding, embeddingBag, type Tensor } from "@x/tensor";
import type { Subject } from "../subject.js";
import type { Operation, Operations } from "./operation.js";

const dimOf = ({ settings }: Subject, otherwise = -1): number =>
  settings.number("dim") ?? otherwise;

const withIndex =
  (compute: (x: Tensor, dim: number, index: Tensor) => Tensor): Operation =>
  (subject) => ({
    outputs: { y: compute(subject.input("x"), dimOf(subject), subject.input("index")) },
  });

const withSource =
  (compute: (x: Tensor, dim: number, index: Tensor, source: Tensor) => Tensor): Operation =>
  (subject) => ({
    outputs: {
      y: compute(
        subject.input("x"),
        dimOf(subject),
        subject.input("index"),
        subject.input("src"),
      ),
    },
  });

const lookUp: Operation = (subject) => {
  const paddingIdx = subject.settings.number("padding_idx");
  const y = embedding(subject.input("index"), subject.input("weight"), {
    ...(paddingIdx !== undefined && { paddingIdx }),
  });
  return { outputs: { y } };
};

const bag: Operation = (subject) => {
  const mode = subject.settings.string("mode") ?? "mean";
  if (mode !== "sum" && mode !== "mean" && mode !== "max") {
    throw new Error(`the mode "${mode}" is unknown`);
  }
  const y = embeddingBag(subject.input("index"), subject.input("weight"), {
    mode,
    perSampleWeights: subject.optionalInput("per_sample_weights") ?? null,
  });
  return { outputs: { y } };
};

const topK: Operation = (subject) => {
  const { settings } = subject;
  const { values, indices } = subject.input("x").topk(settings.requiredNumber("k"), dimOf(subject), {
    largest: settings.boolean("largest") ?? true,
  });
  return { outputs: { values, indices } };
};

const sort: Operation = (subject) => {
  const descending = subject.settings.boolean("descending") ?? false;
  const { values, indices } = subject.input("x").sort(dimOf(subject), { descending });
  return { outputs: { values, indices } };
};

/** By their names in PyTorch. */
export const indexingOperations: Operations = {
  gather: withIndex((x, dim, index) => x.gather(dim, index)),
  index_select: withIndex((x, dim, index) => x.indexSelect(dim, index)),
  scatter: withSource((x, dim, index, source) => x.scatter(dim, index, source)),
  scatter_add: withSource((x, dim, index, source) => x.scatterAdd(dim, index, source)),
  index_add: withSource((x, dim, index, source) => x.indexAdd(dim, index, source)),
  embedding: lookUp,
  embedding_bag: bag,
  topk: topK,
  sort,
  argsort: (subject) => ({ outputs: { y: subject.input("x").argsort(dimOf(subject)) } }),
  one_hot: (subject) => ({
    outputs: { y: subject.input("index").oneHot(subject.settings.requiredNumber("num_classes")) },
  }),
};
