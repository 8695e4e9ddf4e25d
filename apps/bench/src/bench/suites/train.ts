/** Training steps of a small GPT, by tokens a second, against the libraries that can train. */

import { measure } from "../measure.js";
import type { PeerName } from "../peers/open.js";
import { formatTask, type TrainTask } from "../peers/peer.js";
import { RemotePeer } from "../peers/remote.js";
import type { Claim, Entry, SuiteResult } from "../report.js";
import type { SuiteOptions } from "./tasks.js";

/** 2.5 million parameters in the shape of gpt-tfjs. */
const gpt: TrainTask = {
  op: "train",
  batch: 8,
  context: 128,
  width: 192,
  layers: 5,
  heads: 6,
  vocabulary: 512,
  rate: 1e-3,
};

/** All start with other random numbers; after so many steps the losses must be about the same. */
const comparedStep = 3;

/** Ours as `@x/tensor/nn` has its layers, ours as a model of `@x/miniformer`, and others. */
const ours: readonly PeerName[] = ["ours", "miniformer"];
const trainers: readonly PeerName[] = [...ours, "tfjs", "jax"];

/** The suite `train`. */
export async function train(options: SuiteOptions): Promise<SuiteResult> {
  const task = options.quick ? { ...gpt, batch: 1 } : gpt;
  const names = trainers.filter((name) => ours.includes(name) || options.peers.includes(name));
  const remotes: RemotePeer[] = [];
  const notes = [
    `${task.batch} sequences of ${task.context} tokens a step; softmax attention, GELU, Adam, cross entropy; "loss ${comparedStep}" is that of step ${comparedStep}`,
  ];
  const entries: Entry[] = [];
  const losses: number[] = [];
  try {
    for (const name of names) {
      options.progress(name);
      const remote = await RemotePeer.open(name, options.threads);
      notes.push(`${name}: ${remote.settings}`);
      try {
        await remote.prepare(task, []);
        await remote.turn(comparedStep);
        losses.push((await remote.result())[0]!);
        remotes.push(remote);
      } catch (error) {
        if (ours.includes(name)) throw error;
        await remote.close();
        notes.push(`${name} cannot do it: ${String(error)}`);
      }
    }
    options.progress("in turn");
    const samples = await measure(remotes, options.effort);
    for (const [i, { name }] of remotes.entries()) {
      const sample = samples.get(name)!;
      const tokens = (task.batch * task.context) / (sample.median / 1000);
      const figures = { "tokens/s": tokens, [`loss ${comparedStep}`]: losses[i]! };
      entries.push({ name, sample, figures });
    }
  } finally {
    await Promise.all(remotes.map((remote) => remote.close()));
  }
  const claims: Claim[] = entries
    .filter(({ name }) => !(ours as readonly string[]).includes(name))
    .flatMap(({ name, sample }) =>
      ["a GPT", "a GPT of @x/miniformer"].map((what, own) => ({
        claim: `training tokens a second of ${what} against ${name}`,
        measured: sample!.median / entries[own]!.sample!.median,
        must: 3,
        aim: 6,
      })),
    );
  return { suite: "Training", rows: [{ what: formatTask(task), entries }], claims, notes };
}
