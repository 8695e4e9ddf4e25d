/** Suites of single tasks: every library computes the same thing on the same numbers. */

import { measure, type Effort } from "../measure.js";
import { inputsOf } from "../peers/inputs.js";
import { formatTask, type Task } from "../peers/peer.js";
import { nativePeerNames, ourNames, type PeerName } from "../peers/open.js";
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
  /** The lengths of sequences; `null` for those of the suite. */
  readonly lengths: readonly number[] | null;
  /** The one mechanism to measure; `null` for all. */
  readonly only: string | null;
  /** Told what is being done. */
  readonly progress: (what: string) => void;
}

/** Figures derived from the time of a task. */
export type FiguresOf = (task: Task, milliseconds: number) => Record<string, number>;

/**
 * Times every task on every library; ours is first. Ours and those in WebAssembly take turns; each
 * that runs native code has a pass of its own, when no other process is left.
 */
export async function compareTasks(
  tasks: readonly Task[],
  options: SuiteOptions,
  figuresOf: FiguresOf,
): Promise<{ rows: Row[]; notes: string[] }> {
  const others = options.peers.filter((name) => name !== "ours");
  const native = others.filter((name) => nativePeerNames.has(name));
  const inTurn = others.filter((name) => !nativePeerNames.has(name));
  const pass: Pass = {
    tasks,
    options,
    figuresOf,
    entries: tasks.map(() => []),
    expected: new Map(),
    notes: [],
  };
  await measurePass(["ours", ...inTurn], pass);
  for (const name of native) await measurePass([name], pass);
  const rows = tasks.map((task, i) => ({ what: formatTask(task), entries: pass.entries[i]! }));
  return { rows, notes: pass.notes };
}

interface Pass {
  readonly tasks: readonly Task[];
  readonly options: SuiteOptions;
  readonly figuresOf: FiguresOf;
  /** Filled in, one list a task. */
  readonly entries: Entry[][];
  /** Our results. */
  readonly expected: Map<Task, Float32Array>;
  readonly notes: string[];
}

async function measurePass(names: readonly PeerName[], pass: Pass): Promise<void> {
  const { tasks, options, figuresOf, entries, expected, notes } = pass;
  const remotes: RemotePeer[] = [];
  try {
    for (const name of names) {
      try {
        const remote = await RemotePeer.open(name, options.threads);
        notes.push(`${name}: ${remote.settings}`);
        remotes.push(remote);
      } catch (error) {
        if (name === "ours") throw error;
        notes.push(`${name} cannot be loaded: ${String(error)}`);
      }
    }
    for (const [i, task] of tasks.entries()) {
      options.progress(`${formatTask(task)} (${names.join(", ")})`);
      const able: RemotePeer[] = [];
      for (const remote of remotes) {
        try {
          if (await remote.prepare(task, inputsOf(task))) able.push(remote);
        } catch (error) {
          if (remote.name === "ours") throw error;
          notes.push(`${remote.name} failed at ${formatTask(task)}: ${String(error)}`);
        }
      }
      const samples = await measure(able, options.effort);
      for (const remote of able) {
        const sample = samples.get(remote.name)!;
        const result = await remote.result();
        if (!expected.has(task)) expected.set(task, result);
        entries[i]!.push({
          name: remote.name,
          sample,
          figures: figuresOf(task, sample.median),
          difference: largestDifference(result, expected.get(task)!),
        });
        await remote.release();
      }
    }
  } finally {
    await Promise.all(remotes.map((remote) => remote.close()));
  }
}

/** The largest difference between two results, relative to the largest element. */
export function largestDifference(actual: Float32Array, expected: Float32Array): number {
  let difference = 0;
  let largest = 1e-30;
  expected.forEach((value, i) => {
    difference = Math.max(difference, Math.abs(value - actual[i]!));
    largest = Math.max(largest, Math.abs(value));
  });
  return difference / largest;
}

/** Those that ours is judged by. */
export const wasmPeers: readonly PeerName[] = ["jax", "tfjs", "ort-web"];

/** How many times faster ours at its best setting is than the fastest of `names` in a row. */
export function advantage(
  row: Row,
  names: readonly string[],
  ours: readonly string[] = ourNames,
): number {
  const fastest = (among: readonly string[]): number => {
    const found = row.entries.filter(({ name }) => among.includes(name));
    return found.length === 0 ? NaN : Math.min(...found.map(({ sample }) => sample?.median ?? NaN));
  };
  return fastest(names) / fastest(ours);
}
