/** Area `thinformer`: kernel halving, KH-Compress and attention over a coreset. */

import { scaledDotProductAttention, type Device } from "@x/tensor";
import {
  expKernel,
  halve,
  halveK,
  khCompress,
  ThinformerAttention,
  type HalvingDraws,
} from "@x/thinformer";
import { nameIn, runnerNamed, wholeFile, type Part } from "../parts.js";
import type { GoldenFile } from "../golden-file.js";
import type { Output, Runner, Subject } from "../subject.js";

/** The recorded draws of one halving; `round` is what stands before their names. */
function recordedDraws(subject: Subject, round: string): HalvingDraws {
  const bernoulli = `random.${round}bernoulli`;
  return {
    uniforms: subject.leaf(`random.${round}uniform01`),
    bernoulli: subject.recorded.has(bernoulli) ? subject.leaf(bernoulli).reshape([1, 1, 1]) : null,
  };
}

/** The recorded draws of all rounds. */
function allDraws(subject: Subject): HalvingDraws[] {
  const rounds = subject.names("random").filter((name) => name.endsWith(".uniform01"));
  return rounds.map((_, i) => recordedDraws(subject, `round${i}.`));
}

/** What each round chose, by the names of the recorded results. */
function coresetOutputs(coresets: readonly Output[]): Record<string, Output> {
  return Object.fromEntries(coresets.map((coreset, i) => [`round${i}.coreset`, coreset]));
}

const runExpKernel: Runner = (subject) => {
  const [key, value] = [subject.input("key"), subject.input("value")];
  return {
    outputs: { kernel: expKernel(key, value, subject.input("shift"), subject.input("b_sqd")) },
  };
};

const runHalveK: Runner = (subject) => {
  const { settings } = subject;
  const coreset = halveK(subject.input("K"), {
    delta: settings.requiredNumber("delta"),
    symmetrize: settings.boolean("symmetrize") ?? false,
    draws: recordedDraws(subject, ""),
    compat: "reference",
  });
  return { outputs: { coreset } };
};

const runHalve: Runner = (subject) => {
  const { settings } = subject;
  const inputs = ["key", "value", "shift", "b_sqd"].map((name) => subject.input(name));
  const [key, value, shift, bSqd] = inputs;
  const half = halve(key!, value!, shift!, bSqd!, settings.requiredNumber("halve_prob"), {
    symmetrize: settings.boolean("symmetrize") ?? true,
    draws: recordedDraws(subject, ""),
    compat: "reference",
  });
  return { outputs: { ...half } };
};

const runCompress: Runner = (subject) => {
  const { settings } = subject;
  const { key, value, indices, coresets } = khCompress(subject.input("key"), subject.input("value"), {
    log4N: settings.requiredNumber("log4_n"),
    g: settings.requiredNumber("g"),
    delta: settings.requiredNumber("delta"),
    symmetrize: settings.boolean("symmetrize") ?? true,
    draws: allDraws(subject),
    compat: "reference",
  });
  return { outputs: { key, value, indices, ...coresetOutputs(coresets) } };
};

const runAttention: Runner = (subject) => {
  const { settings } = subject;
  const attention = new ThinformerAttention({
    g: settings.requiredNumber("g"),
    scale: settings.number("scale") ?? null,
    delta: settings.requiredNumber("delta"),
    compat: "reference",
  });
  const inputs = ["query", "key", "value"].map((name) => subject.input(name));
  const [query, key, value] = inputs;
  const call = { needWeights: true, needIndices: true, draws: allDraws(subject) };
  const { output, attention: weights, indices, coresets } = attention.forward(query!, key!, value!, call);
  const [q, k, v] = inputs.map((x) => x.detach().transpose(1, 2));
  const { scale } = attention;
  const exact = scaledDotProductAttention(q!, k!, v!, scale === null ? {} : { scale });
  return {
    outputs: {
      y: output,
      attention: weights!,
      indices: indices!,
      exact: exact.transpose(1, 2),
      ...coresetOutputs(coresets!),
    },
  };
};

const runners: Readonly<Record<string, Runner>> = {
  exp_kernel: runExpKernel,
  halve: runHalve,
  halve_K: runHalveK,
  khcompress: runCompress,
  ThinformerAttention: runAttention,
};

/** A file of area `thinformer` is one part. */
export function partsOfThinformer(file: GoldenFile, device: Device): Part[] {
  return wholeFile(file, device, runnerNamed(runners, nameIn(file.config)));
}
