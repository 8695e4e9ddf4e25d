/** Cases of attention, memory, feed-forward and image modules. */

import type { Tensor } from "@x/tensor";
import {
  causalLinearAttn,
  Chunk,
  FeedForward,
  ImageLinearAttention,
  linearAttn,
  LinformerSelfAttention,
  LocalAttention,
  PKM,
  SelfAttention,
} from "@x/linear-attn";
import type { Module } from "@x/tensor/nn";
import { loadParameters } from "../modules.js";
import type { Results, Runner, Subject } from "../subject.js";

const compat = "reference";

/** The options of a constructor, in camelCase, without the named arguments. */
function optionsOf(subject: Subject, without: readonly string[] = []): Record<string, unknown> {
  return subject.settings.toOptions(["activation", ...without]);
}

/** Loads the parameters of a module and calls it. */
function run(subject: Subject, module: Module, forward: () => Tensor): Results {
  const parameters = loadParameters(module, subject);
  return { outputs: { y: forward() }, parameters };
}

const runLinearAttn: Runner = (subject) => {
  const kvMask = subject.optionalInput("kv_mask") ?? null;
  const [q, k, v] = [subject.input("q"), subject.input("k"), subject.input("v")];
  return { outputs: { y: linearAttn(q, k, v, { kvMask }) } };
};

const runCausalLinearAttn: Runner = (subject) => {
  const { settings } = subject;
  const [q, k, v] = [subject.input("q"), subject.input("k"), subject.input("v")];
  const y = causalLinearAttn(q, k, v, {
    kvMask: subject.optionalInput("kv_mask") ?? null,
    bucketSize: Math.max(settings.number("bucket_size") ?? 64, 1),
    eps: settings.number("eps") ?? 1e-3,
    compat,
  });
  return { outputs: { y } };
};

const runLocalAttention: Runner = (subject) => {
  const { settings } = subject;
  const module = new LocalAttention({
    windowSize: settings.requiredNumber("window_size"),
    ...optionsOf(subject, ["window_size"]),
    compat,
  });
  const q = subject.input("q");
  const inputMask = subject.optionalInput("input_mask") ?? null;
  return run(subject, module, () =>
    module.forward(q, subject.optionalInput("k") ?? q, subject.input("v"), { inputMask }),
  );
};

/** What is no original module is computed without its faults. */
export const runSelfAttention: Runner = (subject) => {
  const { settings } = subject;
  const module = new SelfAttention(
    settings.requiredNumber("dim"),
    settings.requiredNumber("heads"),
    { ...optionsOf(subject), compat: settings.boolean("formula") === true ? null : compat },
  );
  return run(subject, module, () =>
    module.forward(subject.input("x"), {
      inputMask: subject.optionalInput("input_mask") ?? null,
      context: subject.optionalInput("context") ?? null,
      contextMask: subject.optionalInput("context_mask") ?? null,
      posEmb: subject.optionalInput("pos_emb") ?? null,
    }),
  );
};

const runFeedForward: Runner = (subject) => {
  const module = new FeedForward(subject.settings.requiredNumber("dim"), optionsOf(subject));
  return run(subject, module, () => module.forward(subject.input("x")));
};

const runChunk: Runner = (subject) => {
  const { settings } = subject;
  const fn = new FeedForward(settings.requiredNumber("dim"), optionsOf(subject));
  const alongDim = settings.number("along_dim") ?? -1;
  const module = new Chunk(settings.requiredNumber("chunks"), fn, { alongDim });
  return run(subject, module, () => module.forward(subject.input("x")));
};

const runPKM: Runner = (subject) => {
  const { settings } = subject;
  const module = new PKM(settings.requiredNumber("dim"), optionsOf(subject));
  module.train(settings.boolean("training") ?? true);
  const parameters = loadParameters(module, subject);
  const y = module.forward(subject.input("x"), {
    inputMask: subject.optionalInput("input_mask") ?? null,
  });
  const { runningMean, runningVar, numBatchesTracked } = module.norm.fn;
  return {
    outputs: {
      y,
      running_mean_after: runningMean,
      running_var_after: runningVar,
      num_batches_tracked_after: numBatchesTracked,
    },
    parameters,
  };
};

const runLinformer: Runner = (subject) => {
  const { settings } = subject;
  const module = new LinformerSelfAttention(
    settings.requiredNumber("dim"),
    settings.requiredNumber("seq_len"),
    { ...optionsOf(subject), compat },
  );
  const context = subject.optionalInput("context") ?? null;
  return run(subject, module, () => module.forward(subject.input("x"), { context }));
};

const runImageAttention: Runner = (subject) => {
  const { settings } = subject;
  const module = new ImageLinearAttention(settings.requiredNumber("chan"), {
    ...optionsOf(subject),
    compat,
  });
  const context = subject.optionalInput("context") ?? null;
  return run(subject, module, () => module.forward(subject.input("x"), { context }));
};

/** By the start of the class's or function's name in a file. */
export const partRunners: Readonly<Record<string, Runner>> = {
  linear_attn: runLinearAttn,
  causal_linear_attn: runCausalLinearAttn,
  LocalAttention: runLocalAttention,
  SelfAttention: runSelfAttention,
  FeedForward: runFeedForward,
  "Chunk(FeedForward)": runChunk,
  PKM: runPKM,
  LinformerSelfAttention: runLinformer,
  ImageLinearAttention: runImageAttention,
};
