/** Cases of positions, stacks, transformers, language models and generation. */

import { fromData, type Tensor } from "@x/tensor";
import {
  AbsolutePositionalEmbedding,
  applyRotoryPosEmb,
  Autopadder,
  AutoregressiveWrapper,
  AxialPositionalEmbedding,
  FeedForward,
  FixedPositionalEmbedding,
  FoldAxially,
  LinearAttentionTransformer,
  LinearAttentionTransformerLM,
  LinformerContextSettings,
  LinformerSettings,
  PKM,
  PreNorm,
  PreShiftTokens,
  ReversibleSequence,
  SelfAttention,
  SequentialSequence,
  topK,
  topP,
  type LayerPair,
  type PaddedModel,
} from "@x/linear-attn";
import { Identity, Module } from "@x/tensor/nn";
import { loadParameters } from "../modules.js";
import type { Settings } from "../settings.js";
import type { Output, Runner, Subject } from "../subject.js";

const compat = "reference";

/** The options of a model, in camelCase and with settings as objects. */
function optionsOf(settings: Settings): Record<string, unknown> {
  const linformer = settings.object("linformer_settings").number("k");
  const context = settings.object("context_linformer_settings");
  return {
    ...settings.toOptions(),
    linformerSettings: linformer === undefined ? null : new LinformerSettings({ k: linformer }),
    contextLinformerSettings: context.has("k")
      ? new LinformerContextSettings({
          seqLen: context.requiredNumber("seq_len"),
          k: context.requiredNumber("k"),
        })
      : null,
    compat,
  };
}

function sizesOf(settings: Settings): { dim: number; depth: number; maxSeqLen: number } {
  return {
    dim: settings.requiredNumber("dim"),
    depth: settings.requiredNumber("depth"),
    maxSeqLen: settings.requiredNumber("max_seq_len"),
  };
}

/** A transformer; product-key memories get the sizes that are recorded apart from its options. */
function makeTransformer(settings: Settings): LinearAttentionTransformer {
  const model = new LinearAttentionTransformer({ ...optionsOf(settings), ...sizesOf(settings) });
  if (!settings.has("pkm")) return model;
  for (const module of model.modules()) {
    if (!(module instanceof PreNorm) || !(module.fn instanceof PKM)) continue;
    module.fn = new PKM(model.plan.dim, settings.object("pkm").toOptions());
  }
  return model;
}

function makeLanguageModel(settings: Settings): LinearAttentionTransformerLM {
  return new LinearAttentionTransformerLM({
    ...optionsOf(settings),
    ...sizesOf(settings),
    numTokens: settings.requiredNumber("num_tokens"),
  });
}

const runTransformer: Runner = (subject) => {
  const model = makeTransformer(subject.settings);
  const parameters = loadParameters(model, subject);
  const inputMask = subject.optionalInput("input_mask") ?? null;
  return { outputs: { y: model.forward(subject.input("x"), { inputMask }) }, parameters };
};

const runLanguageModel: Runner = (subject) => {
  const model = makeLanguageModel(subject.settings);
  const parameters = loadParameters(model, subject);
  const inputMask = subject.optionalInput("input_mask") ?? null;
  return { outputs: { y: model.forward(subject.input("tokens"), { inputMask }) }, parameters };
};

/** An encoder and the decoder that reads what it gives. */
class EncoderDecoder extends Module {
  readonly enc: LinearAttentionTransformerLM;
  readonly dec: LinearAttentionTransformerLM;

  constructor(settings: Settings) {
    super();
    this.enc = makeLanguageModel(settings.with(settings.object("enc")));
    this.dec = makeLanguageModel(settings.with(settings.object("dec")));
  }
}

const runEncoderDecoder: Runner = (subject) => {
  const model = new EncoderDecoder(subject.settings);
  const parameters = loadParameters(model, subject);
  const contextMask = subject.optionalInput("src_mask") ?? null;
  const inputMask = subject.optionalInput("tgt_mask") ?? null;
  const context = model.enc.forward(subject.input("src"), { inputMask: contextMask });
  const logits = model.dec.forward(subject.input("tgt"), { context, contextMask, inputMask });
  return { outputs: { context, logits }, parameters };
};

function runPadded(net: PaddedModel, subject: Subject, x: Tensor): ReturnType<Runner> {
  const parameters = loadParameters(net, subject);
  const padLeft = subject.settings.boolean("pad_left") ?? false;
  const inputMask = subject.optionalInput("input_mask") ?? null;
  return { outputs: { y: new Autopadder(net, { padLeft }).forward(x, { inputMask }) }, parameters };
}

const runLoss: Runner = (subject) => {
  const { settings } = subject;
  const net = makeLanguageModel(settings);
  const parameters = loadParameters(net, subject);
  const model = new AutoregressiveWrapper(net, {
    ignoreIndex: settings.number("ignore_index") ?? -100,
    padValue: settings.number("pad_value") ?? 0,
  });
  const parts = subject.inputs("tokens_");
  const tokens = subject.optionalInput("tokens") ?? parts;
  const inputMask = subject.optionalInput("input_mask") ?? null;
  const inputs = Array.isArray(tokens)
    ? tokens.map((part) => part.narrow(0, 0, part.size - 1))
    : tokens.narrow(1, 0, tokens.shape[1]! - 1);
  const mask = inputMask?.narrow(1, 0, inputMask.shape[1]! - 1) ?? null;
  return {
    outputs: {
      loss: model.forward(tokens, { returnLoss: true, inputMask }),
      logits: model.forward(inputs, { inputMask: mask }),
    },
    parameters,
  };
};

const filters = { top_k: topK, top_p: topP };

function filterNamed(name: string): typeof topK {
  if (!Object.hasOwn(filters, name)) throw new Error(`the filter "${name}" is unknown`);
  return filters[name as keyof typeof filters];
}

const runGenerate: Runner = async (subject) => {
  const { settings } = subject;
  const net = makeLanguageModel(settings);
  loadParameters(net, subject);
  const filter = filterNamed(settings.string("filter") ?? "top_k");
  const tokens = await new AutoregressiveWrapper(net).generate(
    subject.input("start_tokens"),
    settings.requiredNumber("steps"),
    {
      filterLogitsFn: (logits, options) => filter(logits, { ...options, compat }),
      filterThres: settings.number("filter_thres") ?? 0.9,
      temperature: settings.number("temperature") ?? 1,
      eosToken: settings.number("eos_token") ?? null,
      inputMask: subject.optionalInput("input_mask") ?? null,
    },
  );
  return { outputs: { tokens } };
};

const runFilters: Runner = (subject) => {
  const { settings } = subject;
  const removed = settings.number("neg_inf_stored_as") ?? -Infinity;
  const logits = subject.input("logits");
  const outputs = subject.names("output").map((name): [string, Output] => {
    const [, kind, thres] = /^(top_[kp])_(.*)$/.exec(name) ?? [];
    const kept = filterNamed(kind ?? name)(logits, { thres: Number(thres?.replace("p", ".")), compat });
    return [name, kept.maskedFill(kept.eq(-Infinity), removed)];
  });
  return { outputs: Object.fromEntries(outputs) };
};

const runAxialEmbedding: Runner = (subject) => {
  const { settings } = subject;
  const module = new AxialPositionalEmbedding(
    settings.requiredNumber("dim"),
    settings.numbers("axial_shape") ?? [],
    { axialDims: settings.numbers("axial_dims") ?? null },
  );
  const parameters = loadParameters(module, subject);
  return { outputs: { y: module.forward(subject.input("x")) }, parameters };
};

const runEmbeddings: Runner = (subject) => {
  const { settings } = subject;
  const dim = settings.requiredNumber("dim");
  const absolute = new AbsolutePositionalEmbedding(dim, settings.requiredNumber("max_seq_len"));
  const fixed = new FixedPositionalEmbedding(dim, settings.requiredNumber("max_seq_len"));
  const whole = new (class extends Module {
    readonly absolute = absolute;
  })();
  const parameters = loadParameters(whole, subject);
  const x = subject.input("x");
  const table = fixed.forward(x);
  const [q, k] = applyRotoryPosEmb(subject.input("q"), subject.input("k"), table);
  const outputs = { absolute: absolute.forward(x), fixed: table, rotary_q: q, rotary_k: k };
  return { outputs, parameters };
};

/** The original's shift can be masked, though its models never do. */
const runShift: Runner = (subject) => {
  const module = new PreShiftTokens(subject.settings.numbers("shifts") ?? [], new Identity());
  const inputMask = subject.optionalInput("mask") ?? null;
  return { outputs: { y: module.forward(subject.input("x"), { inputMask }) } };
};

const runFold: Runner = (subject) => {
  const { settings } = subject;
  const dim = settings.requiredNumber("dim");
  const causal = settings.boolean("causal") ?? false;
  const attention = new SelfAttention(dim, settings.requiredNumber("heads"), { causal, compat });
  const module = new FoldAxially(settings.requiredNumber("axial_dim"), attention);
  const parameters = loadParameters(module, subject);
  const inputMask = subject.optionalInput("input_mask") ?? null;
  return { outputs: { y: module.forward(subject.input("x"), { inputMask }) }, parameters };
};

/** The same blocks in a row and on two streams, whose gradients are recorded apart. */
const runSequences: Runner = (subject) => {
  const { settings } = subject;
  const dim = settings.requiredNumber("dim");
  const depth = settings.requiredNumber("depth");
  const mult = Number(/mult (\d+)/.exec(settings.string("cls") ?? "")?.[1] ?? 4);
  const makeBlocks = (): LayerPair[] =>
    Array.from({ length: depth }, () => {
      const causal = settings.boolean("causal") ?? false;
      const attention = new SelfAttention(dim, settings.requiredNumber("heads"), { causal, compat });
      return [new PreNorm(dim, attention), new PreNorm(dim, new FeedForward(dim, { mult }))];
    });
  const argsRoute = { inputMask: makeBlocks().map(() => [true, false] as const) };
  const sequential = new SequentialSequence(makeBlocks(), { argsRoute });
  const reversible = new ReversibleSequence(makeBlocks(), { argsRoute });
  const recorded = subject.stateDict();
  sequential.loadStateDict(recorded);
  const reversibleName = (name: string): string =>
    name.replace(/^layers\.(\d+)\.([01])\./, (_, i: string, place: string) =>
      `blocks.${i}.${place === "0" ? "f" : "g"}.net.`,
    );
  const entries = [...recorded].map(([name, tensor]) => [reversibleName(name), tensor] as const);
  reversible.loadStateDict(new Map(entries));

  const inputMask = subject.optionalInput("input_mask") ?? null;
  const { data, shape } = subject.golden("input.x");
  const x = fromData(data, shape, { device: subject.device, requiresGrad: true });
  const parameters = new Map<string, Tensor>(sequential.namedParameters());
  const others = new Map<string, Tensor>(reversible.namedParameters());
  for (const name of recorded.keys()) {
    parameters.set(`reversible.${name}`, others.get(reversibleName(name))!);
  }
  parameters.set("reversible.x", x);
  const outputs = {
    sequential: sequential.forward(subject.input("x"), { inputMask }),
    reversible: reversible.forward(x, { inputMask }),
  };
  return { outputs, parameters };
};

/** By the start of the name of what a file is of. */
export const modelRunners: Readonly<Record<string, Runner>> = {
  AxialPositionalEmbedding: runAxialEmbedding,
  "AbsolutePositionalEmbedding, FixedPositionalEmbedding, apply_rotory_pos_emb": runEmbeddings,
  "PreShiftTokens around identity": runShift,
  "FoldAxially(SelfAttention)": runFold,
  "SequentialSequence and ReversibleSequence over the same blocks": runSequences,
  LinearAttentionTransformer: runTransformer,
  LinearAttentionTransformerLM: runLanguageModel,
  "LinearAttentionTransformerLM encoder / decoder": runEncoderDecoder,
  "Autopadder(LinearAttentionTransformer)": (subject) =>
    runPadded(makeTransformer(subject.settings), subject, subject.input("x")),
  "Autopadder(LinearAttentionTransformerLM)": (subject) =>
    runPadded(makeLanguageModel(subject.settings), subject, subject.input("tokens")),
  "AutoregressiveWrapper(LinearAttentionTransformerLM)": runLoss,
  "AutoregressiveWrapper.generate": runGenerate,
  "top_k, top_p": runFilters,
};
