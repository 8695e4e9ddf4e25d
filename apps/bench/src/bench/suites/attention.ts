/**
 * Causal attention by length: exact attention, cumulative linear attention, and the algorithm of the
 * original trim-transformer, in our own operations and, where there is an interpreter, in PyTorch.
 */

import { measure } from "../measure.js";
import { inputsOf } from "../peers/inputs.js";
import { formatTask, type AttentionTask } from "../peers/peer.js";
import { RemotePeer } from "../peers/remote.js";
import type { Claim, Entry, Row, SuiteResult } from "../report.js";
import { attentionError } from "./attention-reference.js";
import type { SuiteOptions } from "./tasks.js";
import { TorchTimes } from "./torch.js";

const heads = 4;
const dim = 64;

const nameOf = (length: number, backward: boolean): string =>
  `N=${length}${backward ? " with gradients" : ""}`;

/** The suite `attention`. */
export async function attention(options: SuiteOptions): Promise<SuiteResult> {
  const lengths = options.quick ? [512, 2048] : [512, 1024, 2048, 4096, 8192, 16384];
  const { python } = options;
  const torch =
    python === null
      ? TorchTimes.none()
      : await TorchTimes.measure(
          python,
          ["exact", "trim", "chunked"],
          { heads, dim, lengths },
          options,
        );
  const notes = [
    `${heads} heads of ${dim}, batch 1, ${options.threads} threads; "µs" is per token and head, "MiB" the most that intermediates and results take at once`,
    '"difference" is the largest error against float64, relative to the largest element; with gradients, of that of q',
    ...torch.notes,
  ];
  const rows: Row[] = [];
  for (const backward of [false, true]) {
    for (const length of lengths) {
      const entries = await compareAt(length, backward, options, notes);
      entries.push(...torch.entries(heads, length, backward, notes));
      rows.push({ what: nameOf(length, backward), entries });
    }
  }
  return { suite: "Causal attention", rows, claims: claimsOf(rows), notes };
}

async function compareAt(
  length: number,
  backward: boolean,
  options: SuiteOptions,
  notes: string[],
): Promise<Entry[]> {
  const tasks = (["trim", "exact", "original"] as const).map((kind): AttentionTask => {
    return { op: "attention", kind, heads, length, dim, backward };
  });
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
      entries.push({ name, sample, figures, difference });
    }
    return entries;
  } finally {
    await Promise.all([...remotes.values()].map((remote) => remote.close()));
  }
}

function claimsOf(rows: readonly Row[]): Claim[] {
  const entry = (what: string, name: string): Entry | undefined =>
    rows.find((row) => row.what === what)?.entries.find((other) => other.name === name);
  const compare = (claim: string, what: string, name: string, must: number, aim: number): Claim => {
    const ours = entry(what, "ours: trim")?.sample?.median ?? NaN;
    const theirs = entry(what, name)?.sample?.median ?? NaN;
    return { claim: `${claim} against ${name}`, measured: theirs / ours, must, aim };
  };
  const forward = nameOf(4096, false);
  const mebibytes = (name: string): number => entry(forward, name)?.figures?.MiB ?? NaN;
  return [
    compare(`linear attention, ${forward},`, forward, "torch: trim", 100, 250),
    compare("with gradients, N=1024,", nameOf(1024, true), "torch: trim", 80, 180),
    compare(`${forward},`, forward, "torch: chunked", 1.5, 4),
    compare(`${forward},`, forward, "torch: exact", 8, 17),
    {
      claim: `memory, ${forward}, against the original's algorithm in our operations`,
      measured: mebibytes("ours: original") / mebibytes("ours: trim"),
      must: 40,
      aim: 64,
    },
  ];
}
