/** Timing kinds of attention, each in a process of its own, on the same numbers. */

import { measure } from "../measure.js";
import { inputsOf } from "../peers/inputs.js";
import { formatTask, type AttentionTask } from "../peers/peer.js";
import { RemotePeer } from "../peers/remote.js";
import type { Entry } from "../report.js";
import { attentionError } from "./attention-reference.js";
import type { SuiteOptions } from "./tasks.js";

/** Times tasks of the same shape in turn; what failed says why in `notes`. */
export async function compareAttention(
  tasks: readonly AttentionTask[],
  options: SuiteOptions,
  notes: string[],
): Promise<Entry[]> {
  const { heads, length } = tasks[0]!;
  const inputs = inputsOf(tasks[0]!);
  const remotes = new Map<AttentionTask, RemotePeer>();
  try {
    for (const task of tasks) {
      options.progress(formatTask(task));
      // A process of its own for each: its memory is that of this computation alone.
      const remote = await RemotePeer.open("ours", options.threads);
      remotes.set(task, remote);
      try {
        await remote.prepare(task, inputs);
      } catch (error) {
        notes.push(`ours: ${formatTask(task)}: ${String(error)}`);
        remotes.delete(task);
        await remote.close();
      }
    }
    const samples = await measure(
      [...remotes].map(([{ kind }, remote]) => ({
        name: kind,
        turn: (runs) => remote.turn(runs),
      })),
      options.effort,
    );
    const entries: Entry[] = [];
    for (const task of tasks) {
      const remote = remotes.get(task);
      const sample = samples.get(task.kind) ?? null;
      const name = `ours: ${task.kind}`;
      if (remote === undefined || sample === null) {
        entries.push({ name, sample: null });
        continue;
      }
      const µs = (1000 * sample.median) / (heads * length);
      const figures = { µs, ...(await remote.figures()) };
      const difference = attentionError(task, inputs, await remote.result());
      entries.push({ name, sample, figures, ...(difference !== null && { difference }) });
    }
    return entries;
  } finally {
    await Promise.all([...remotes.values()].map((remote) => remote.close()));
  }
}
