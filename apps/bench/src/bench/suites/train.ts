/** Training steps of a small GPT, by tokens a second, against TensorFlow.js. */

import { measure } from "../measure.js";
import { formatTask, type TrainTask } from "../peers/peer.js";
import { RemotePeer } from "../peers/remote.js";
import type { Entry, SuiteResult } from "../report.js";
import type { SuiteOptions } from "./tasks.js";

/** 2.5 million parameters. */
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

/** The suite `train`. */
export async function train(options: SuiteOptions): Promise<SuiteResult> {
  const task = options.quick ? { ...gpt, layers: 2 } : gpt;
  const names = ["ours", "tfjs"] as const;
  const able = names.filter((name) => name === "ours" || options.peers.includes(name));
  const remotes: RemotePeer[] = [];
  const notes: string[] = [];
  const entries: Entry[] = [];
  try {
    for (const name of able) {
      options.progress(name);
      const remote = await RemotePeer.open(name, options.threads);
      notes.push(`${name}: ${remote.settings}`);
      try {
        await remote.prepare(task, []);
        await remote.turn(1);
        remotes.push(remote);
      } catch (error) {
        remote.close();
        notes.push(`${name} cannot do it: ${String(error)}`);
      }
    }
    const samples = await measure(remotes, options.effort);
    for (const remote of remotes) {
      const sample = samples.get(remote.name)!;
      const tokens = (task.batch * task.context) / (sample.median / 1000);
      entries.push({ name: remote.name, sample, figures: { "tokens/s": tokens } });
      notes.push(
        `${remote.name}: loss after the last step ${(await remote.result())[0]!.toFixed(3)}`,
      );
    }
  } finally {
    for (const remote of remotes) remote.close();
  }
  const [ours, theirs] = entries;
  const claims =
    ours && theirs
      ? [
          {
            claim: "training tokens a second of a GPT against tfjs",
            ratio: theirs.sample.median / ours.sample.median,
            must: 3,
            aim: 6,
          },
        ]
      : [];
  return { suite: "Training", rows: [{ what: formatTask(task), entries }], claims, notes };
}
