/** Suites of single tasks: every library computes the same thing on the same numbers. */

import { measure, type Effort } from "../measure.js";
import { formatTask, inputShapes, type Task } from "../peers/peer.js";
import type { PeerName } from "../peers/open.js";
import { RemotePeer } from "../peers/remote.js";
import type { Entry, Row } from "../report.js";

/** What all suites are given. */
export interface SuiteOptions {
  readonly effort: Effort;
  readonly peers: readonly PeerName[];
  readonly threads: number;
  readonly quick: boolean;
  /** An interpreter with torch, if there is one. */
  readonly python: string | null;
  /** Told what is being done. */
  readonly progress: (what: string) => void;
}

/** Numbers between −1 and 1, the same on every run. */
export function numbers(size: number, seed: number): Float32Array {
  let state = seed >>> 0 || 1;
  return Float32Array.from({ length: size }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 31 - 1;
  });
}

/** Figures derived from the time of a task. */
export type FiguresOf = (task: Task, milliseconds: number) => Record<string, number>;

/** Times every task on every library; ours is first. */
export async function compareTasks(
  tasks: readonly Task[],
  options: SuiteOptions,
  figuresOf: FiguresOf,
): Promise<{ rows: Row[]; notes: string[] }> {
  const names: PeerName[] = ["ours", ...options.peers.filter((name) => name !== "ours")];
  const remotes: RemotePeer[] = [];
  const notes: string[] = [];
  const rows: Row[] = [];
  try {
    for (const name of names) {
      const remote = await RemotePeer.open(name, options.threads);
      notes.push(`${name}: ${remote.settings}`);
      remotes.push(remote);
    }
    for (const task of tasks) {
      options.progress(formatTask(task));
      const inputs = inputShapes(task).map((shape, i) =>
        numbers(
          shape.reduce((a, b) => a * b, 1),
          i + 1,
        ),
      );
      const able: RemotePeer[] = [];
      for (const remote of remotes) {
        try {
          if (await remote.prepare(task, inputs)) able.push(remote);
        } catch (error) {
          notes.push(`${remote.name} failed at ${formatTask(task)}: ${String(error)}`);
        }
      }
      const samples = await measure(able, options.effort);
      const expected = await able[0]!.result();
      const entries: Entry[] = [];
      for (const remote of able) {
        const sample = samples.get(remote.name)!;
        entries.push({
          name: remote.name,
          sample,
          figures: figuresOf(task, sample.median),
          difference: largestDifference(await remote.result(), expected),
        });
        await remote.release();
      }
      rows.push({ what: formatTask(task), entries });
    }
  } finally {
    for (const remote of remotes) remote.close();
  }
  return { rows, notes };
}

function largestDifference(actual: Float32Array, expected: Float32Array): number {
  let difference = 0;
  let largest = 1e-30;
  expected.forEach((value, i) => {
    difference = Math.max(difference, Math.abs(value - actual[i]!));
    largest = Math.max(largest, Math.abs(value));
  });
  return difference / largest;
}

/** How many times faster ours is than the fastest of `names` in a row. */
export function advantage(row: Row, names: readonly string[]): number {
  const others = row.entries.filter(({ name }) => names.includes(name));
  if (others.length === 0) return NaN;
  return Math.min(...others.map(({ sample }) => sample.median)) / row.entries[0]!.sample.median;
}
