/** How far every mechanism is from exact softmax attention, on three kinds of input. */

import { fromData, manualSeed, noGrad, randn, realize, setThreads, type Tensor } from "@x/tensor";
import { SoftmaxAttention, type AttentionMechanism } from "@x/tensor/nn";
import { readCorpus } from "../../main-job/corpus.js";
import { learn } from "../../mechanisms/learn.js";
import { mechanisms, type MechanismEntry } from "../../mechanisms/table.js";
import { textTask } from "../../mechanisms/tasks.js";
import type { Entry, Row, SuiteResult } from "../report.js";
import type { SuiteOptions } from "./tasks.js";

const heads = 4;
const headDim = 64;
/** How often what a mechanism draws is drawn. */
const draws = 5;

/** Queries, keys and values of [1, heads, length, size]. */
type Inputs = readonly [q: Tensor, k: Tensor, v: Tensor];

/** Independent normal numbers: nothing that a summary of the keys could make use of. */
async function isotropic(length: number): Promise<Inputs> {
  const draw = (): Tensor => randn([1, heads, length, headDim]);
  const inputs = [draw(), draw(), draw()] as const;
  await realize(...inputs);
  return inputs;
}

/** Keys and values in sixteen clusters, each of which lasts for a while, with a little noise. */
async function clustered(length: number): Promise<Inputs> {
  const clusters = 16;
  const around = (): Tensor => {
    const centers = randn([1, heads, clusters, 1, headDim]);
    const noise = randn([1, heads, clusters, Math.ceil(length / clusters), headDim]).mul(0.1);
    return centers.add(noise).flatten(2, 3).narrow(2, 0, length);
  };
  const inputs = [around(), around(), around()] as const;
  await realize(...inputs);
  return inputs;
}

/** A small softmax model, trained on text; gives what its last layer gives its attention. */
async function trainedModel(longest: number): Promise<(length: number) => Promise<Inputs>> {
  let latest: Inputs | null = null;
  const softmax = new SoftmaxAttention();
  const recording: MechanismEntry = {
    name: "softmax",
    isConstant: false,
    needsNorm: false,
    make: () => ({
      forward: (q, k, v, options) => {
        latest = [q, k, v];
        return softmax.forward(q, k, v, options);
      },
    }),
  };
  const task = textTask(await readCorpus(longest), longest);
  const model = (await learn(recording, task, 1, () => undefined)).eval();
  const { tokens } = task.draw(1, () => 0.5, true);
  return async (length) => {
    noGrad(() => model.forward(fromData(tokens.slice(0, length), [1, length])));
    const [q, k, v] = last(latest);
    const inputs = [q.detach(), k.detach(), v.detach()] as const;
    await realize(...inputs);
    return inputs;
  };
}

/** Statements above assign it where the compiler does not see that. */
function last(inputs: Inputs | null): Inputs {
  if (inputs === null) throw new Error("the model must have a layer that attends");
  return inputs;
}

/** The distance from `exact` over its size, both as root mean squares. */
async function errorOf(
  mechanism: AttentionMechanism,
  [q, k, v]: Inputs,
  isCausal: boolean,
  exact: Tensor,
): Promise<number> {
  const difference = noGrad(() => mechanism.forward(q, k, v, { isCausal })).sub(exact);
  const [distance, size] = [difference, exact].map((x) => x.square().mean().sqrt());
  await realize(distance!, size!);
  return (await distance!.item()) / (await size!.item());
}

const mean = (numbers: readonly number[]): number =>
  numbers.reduce((sum, x) => sum + x, 0) / numbers.length;

/** The errors of mechanisms on the same inputs. */
async function errorsOn(inputs: Inputs, only: string | null): Promise<Entry[]> {
  const [q, k, v] = inputs;
  const [, , length, headDim] = q.shape as [number, number, number, number];
  const exact = [true, false].map((isCausal) =>
    new SoftmaxAttention().forward(q, k, v, { isCausal }),
  ) as [Tensor, Tensor];
  await realize(...exact);
  const entries: Entry[] = [];
  for (const { name, make } of mechanisms.filter((entry) => only === null || entry.name === only)) {
    const errors = { causal: [] as number[], full: [] as number[] };
    for (let draw = 0; draw < draws; draw++) {
      const mechanism = make({ headDim, length });
      errors.causal.push(await errorOf(mechanism, inputs, true, exact[0]));
      errors.full.push(await errorOf(mechanism, inputs, false, exact[1]));
    }
    const figures = { "causal error": mean(errors.causal), error: mean(errors.full) };
    entries.push({ name, sample: null, figures });
  }
  for (const tensor of exact) tensor.dispose();
  return entries;
}

/** The suite `approximation`. */
export async function approximation(options: SuiteOptions): Promise<SuiteResult> {
  setThreads(options.threads);
  manualSeed(1);
  const lengths = options.lengths ?? (options.quick ? [256] : [256, 1024, 4096]);
  const longestTrained = options.quick ? 256 : 1024;
  options.progress("training a small model");
  const activations = await trainedModel(longestTrained);
  const kinds: readonly (readonly [string, (length: number) => Promise<Inputs>])[] = [
    ["independent normal numbers", isotropic],
    ["clusters", clustered],
    ["activations of a small trained model", activations],
  ];
  const rows: Row[] = [];
  const notes = [
    `"error" is the distance from exact attention over the size of exact attention, root mean squares, mean of ${draws} draws of what a mechanism draws`,
    "linear attention (trim, linear) is another kind of attention and no approximation of softmax attention: its distance says how far a model that was trained with one is from the other",
  ];
  for (const [kind, make] of kinds) {
    for (const length of lengths) {
      const what = `${kind}, N=${length}`;
      if (make === activations && length > longestTrained) {
        notes.push(`${what}: left out: the model is trained with ${longestTrained} tokens`);
        continue;
      }
      options.progress(what);
      rows.push({ what, entries: await errorsOn(await make(length), options.only) });
    }
  }
  return { suite: "Distance from exact attention", rows, claims: [], notes };
}
