/** Greedy decoding: the whole sequence with every step, and with what a state remembers. */

import { cat, full, noGrad, stack, type Tensor } from "@x/tensor";
import { Seq2SeqTransformer, type LanguageModel } from "@x/miniformer";
import type { Results, Runner, Subject } from "../subject.js";
import { loadModel } from "./models.js";

/** A causal model, with its beginning, and what it gives for all tokens so far. */
interface Decoding {
  readonly model: LanguageModel;
  readonly prompt: Tensor;
  readonly forward: (tokens: Tensor) => Tensor;
}

function decodingOf(subject: Subject): Decoding {
  const { model } = loadModel(subject);
  model.eval();
  if (!(model instanceof Seq2SeqTransformer)) {
    return { model, prompt: subject.input("prompt"), forward: (tokens) => model.forward(tokens) };
  }
  const source = subject.input("src");
  const first = subject.settings.number("bos_token_id") ?? 1;
  const prompt =
    subject.optionalInput("prompt") ?? full([source.shape[0]!, 1], first, { dtype: "int32" });
  const forward = (tokens: Tensor): Tensor => model.forward(source, tokens);
  return { model: model.bind(source), prompt, forward };
}

/** The token with the largest logit at the last place, step by step. */
async function decode(
  subject: Subject,
  prompt: Tensor,
  /** Logits, given all tokens so far and those that are new. */
  forward: (tokens: Tensor, added: Tensor) => Tensor,
): Promise<Results> {
  const steps = subject.settings.requiredNumber("steps");
  const logits: Tensor[] = [];
  let tokens = prompt;
  let added = prompt;
  for (let step = 0; step < steps; step++) {
    const all = await noGrad(() => forward(tokens, added)).realize();
    const last = all.narrow(1, all.shape[1]! - 1, 1).squeeze(1);
    added = await last.argmax(-1, { keepdim: true }).realize();
    tokens = await cat([tokens, added], 1).realize();
    logits.push(last);
  }
  const chosen = tokens.narrow(1, prompt.shape[1]!, steps);
  return { outputs: { tokens: chosen, logits: stack(logits, 1) } };
}

/** With every step the whole sequence. */
export const runGreedy: Runner = (subject) => {
  const { prompt, forward } = decodingOf(subject);
  return decode(subject, prompt, (tokens) => forward(tokens));
};

/** With every step only the new tokens, after those that the state remembers. */
export const runGreedyWithState: Runner = (subject) => {
  const { model, prompt } = decodingOf(subject);
  const [batch, length] = prompt.shape as [number, number];
  const capacity = length + subject.settings.requiredNumber("steps");
  const state = model.initState({ batch, capacity });
  return decode(subject, prompt, (_, added) => model.forward(added, { state }));
};
