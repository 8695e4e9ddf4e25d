/** Area `miniformer`: the models of @x/miniformer, their parts, greedy decoding and training. */

import type { Device } from "@x/tensor";
import { runnerNamed, type Part } from "../parts.js";
import type { GoldenFile } from "../golden-file.js";
import { groupByKey } from "../grouping.js";
import { Settings } from "../settings.js";
import { Subject, type Runner } from "../subject.js";
import { runGreedy, runGreedyWithState } from "./greedy.js";
import { runDecoder, runEncoder, runSeq2Seq, runTransformer } from "./models.js";
import { runAttention, runEmbeddings, runFeedForward } from "./parts.js";
import { runTraining } from "./training.js";

const runners: Readonly<Record<string, Runner>> = {
  MultiHeadAttention: runAttention,
  FeedForward: runFeedForward,
  TokenEmbedding: runEmbeddings,
  PositionalEncoding: runEmbeddings,
  Encoder: runEncoder,
  Decoder: runDecoder,
  Transformer: runTransformer,
  Seq2SeqTransformer: runSeq2Seq,
};

/** How a file is computed; greedy decoding in two ways, which must give the same. */
function findRunners({ config }: GoldenFile): readonly Runner[] {
  if (config.has("task")) return [runTraining];
  const text = config.string("cls") ?? "";
  if (text.includes("greedy")) return [runGreedy, runGreedyWithState];
  const [name = ""] = text.split(/[ ,]/);
  return [runnerNamed(runners, name)];
}

/** A file is one part; greedy decoding is two, and feed-forward networks are one for each activation. */
export function partsOfMiniformer(file: GoldenFile, device: Device): Part[] {
  if (file.config.has("activations")) {
    return [...groupByKey(file)].map(([key, tensors]) => {
      const settings = file.config.with(new Settings({ activation: key }));
      return { key, subject: new Subject(device, settings, tensors), runner: runFeedForward };
    });
  }
  // The original's decoder without a mask sees the future only; that is not reproduced.
  const tensors = new Map(
    [...file.tensors].filter(([name]) => !name.startsWith("output.default_mask.")),
  );
  return findRunners(file).map((runner) => ({
    subject: new Subject(device, file.config, tensors),
    runner,
  }));
}
