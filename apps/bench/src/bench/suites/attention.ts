/**
 * Causal attention by length: exact attention, cumulative linear attention, and the algorithm of the
 * original trim-transformer, in our own operations and, where there is an interpreter, in PyTorch.
 */

import { execa } from "execa";
import { fileURLToPath } from "node:url";
import {
  reference,
  scaledDotProductAttention,
  setDevice,
  fromData,
  cumulativeLinearAttention,
} from "@x/tensor";
import { measure, type Sample } from "../measure.js";
import { formatTask, inputShapes, type AttentionTask } from "../peers/peer.js";
import { RemotePeer } from "../peers/remote.js";
import type { Claim, Entry, Row, SuiteResult } from "../report.js";
import { numbers, type SuiteOptions } from "./tasks.js";

const heads = 4;
const dim = 64;
/** The store of the original takes length · dim² floats a head; longer ones do not fit. */
const originalLimit = { forward: 8192, backward: 4096 };
/** The float64 reference is slow; errors are measured up to here. */
const referenceLimit = 512;

type TorchOp = "exact" | "trim" | "chunked";

interface TorchResult {
  readonly op: TorchOp;
  readonly length: number;
  readonly backward: boolean;
  readonly milliseconds?: number;
  readonly fastest?: number;
  readonly slowest?: number;
  readonly error?: string;
}

/** The suite `attention`. */
export async function attention(options: SuiteOptions): Promise<SuiteResult> {
  const lengths = options.quick ? [512, 2048] : [512, 1024, 2048, 4096, 8192, 16384];
  const rows: Row[] = [];
  const notes = [`${heads} heads of ${dim}, batch 1; "µs" is per token and head`];
  const torch = options.python === null ? [] : await timeTorch(options, lengths, notes);
  for (const backward of [false, true]) {
    for (const length of lengths)
      rows.push(await compareAt(length, backward, options, torch, notes));
  }
  return { suite: "Causal attention", rows, claims: claimsOf(rows), notes };
}

async function compareAt(
  length: number,
  backward: boolean,
  options: SuiteOptions,
  torch: readonly TorchResult[],
  notes: string[],
): Promise<Row> {
  const kinds: AttentionTask["kind"][] = ["trim", "exact"];
  if (length <= originalLimit[backward ? "backward" : "forward"]) kinds.push("original");
  const inputs = [1, 2, 3].map((seed) => numbers(heads * length * dim, seed));
  const entries: Entry[] = [];
  const remotes: { remote: RemotePeer; task: AttentionTask }[] = [];
  try {
    for (const kind of kinds) {
      const task: AttentionTask = { op: "attention", kind, heads, length, dim, backward };
      options.progress(formatTask(task));
      // A process of its own for each: its memory is that of this computation alone.
      const remote = await RemotePeer.open("ours", options.threads);
      remotes.push({ remote, task });
      await remote.prepare(task, inputs);
    }
    const samples = await measure(
      remotes.map(({ remote, task }) => ({ name: task.kind, turn: (runs) => remote.turn(runs) })),
      options.effort,
    );
    for (const { remote, task } of remotes) {
      const sample = samples.get(task.kind)!;
      const error = await errorOf(task, remote, inputs);
      entries.push({
        name: `ours: ${task.kind}`,
        sample,
        figures: {
          µs: (1000 * sample.median) / (heads * length),
          MiB: (await remote.intermediateBytes()) / 2 ** 20,
        },
        ...(error !== null && { difference: error }),
      });
    }
  } catch (error) {
    notes.push(`N=${length}${backward ? " with gradients" : ""}: ${String(error)}`);
  } finally {
    for (const { remote } of remotes) remote.close();
  }
  for (const result of torch) {
    if (result.length !== length || result.backward !== backward) continue;
    if (result.milliseconds === undefined) {
      notes.push(`torch ${result.op} N=${length}: ${result.error}`);
      continue;
    }
    const { milliseconds: median, fastest = median, slowest = median } = result;
    entries.push({
      name: `torch: ${result.op}`,
      sample: { median, fastest, slowest },
      figures: { µs: (1000 * median) / (heads * length) },
    });
  }
  return { what: `N=${length}${backward ? " with gradients" : ""}`, entries };
}

/** The largest error of a forward pass against float64, relative to the largest element. */
async function errorOf(
  task: AttentionTask,
  remote: RemotePeer,
  inputs: readonly Float32Array[],
): Promise<number | null> {
  if (task.backward || task.length > referenceLimit) return null;
  setDevice(reference());
  const [q, k, v] = inputs.map((data, i) => fromData(data, inputShapes(task)[i]!));
  const scale = 1 / Math.sqrt(dim);
  const exact =
    task.kind === "exact"
      ? scaledDotProductAttention(q!, k!, v!, { isCausal: true })
      : cumulativeLinearAttention(q!, k!, v!, { causal: true, scale }).output;
  const expected = await exact.data();
  const actual = await remote.result();
  let largest = 0;
  let error = 0;
  expected.forEach((value, i) => {
    largest = Math.max(largest, Math.abs(value));
    error = Math.max(error, Math.abs(value - actual[i]!));
  });
  return error / largest;
}

async function timeTorch(
  options: SuiteOptions,
  lengths: readonly number[],
  notes: string[],
): Promise<TorchResult[]> {
  options.progress("PyTorch");
  const cases = lengths.flatMap((length) =>
    [false, true].flatMap((backward) =>
      (["exact", "trim", "chunked"] as const)
        .filter((op) => op !== "trim" || length <= (backward ? 2048 : 4096))
        .map((op) => ({ op, length, backward })),
    ),
  );
  const request = {
    threads: options.threads,
    heads,
    dim,
    cases,
    rounds: options.effort.rounds,
    seconds: options.effort.turnMilliseconds / 1000,
  };
  const script = fileURLToPath(new URL("../../../python/attention.py", import.meta.url));
  const { stdout, failed, stderr } = await execa(
    options.python!,
    [script, JSON.stringify(request)],
    { reject: false },
  );
  if (failed) notes.push(`torch: ${stderr.split("\n").at(-1)}`);
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as TorchResult);
}

function claimsOf(rows: readonly Row[]): Claim[] {
  const sample = (what: string, name: string): Sample | undefined =>
    rows.find((row) => row.what === what)?.entries.find((entry) => entry.name === name)?.sample;
  const mebibytes = (what: string, name: string): number =>
    rows.find((row) => row.what === what)?.entries.find((entry) => entry.name === name)?.figures
      ?.MiB ?? NaN;
  const claims: Claim[] = [];
  const compare = (claim: string, what: string, other: string, must: number, aim: number): void => {
    const ours = sample(what, "ours: trim");
    const theirs = sample(what, other);
    if (ours && theirs) claims.push({ claim, ratio: theirs.median / ours.median, must, aim });
  };
  const forward = "N=4096";
  const both = "N=1024 with gradients";
  for (const other of ["ours: original", "torch: trim"]) {
    compare(`linear attention forward N=4096 against ${other}`, forward, other, 100, 250);
    compare(`the same with gradients N=1024 against ${other}`, both, other, 80, 180);
  }
  compare("forward N=4096 against torch: chunked", forward, "torch: chunked", 1.5, 4);
  compare("forward N=4096 against torch: exact", forward, "torch: exact", 8, 17);
  const saved = mebibytes(forward, "ours: original") / mebibytes(forward, "ours: trim");
  if (Number.isFinite(saved)) {
    claims.push({
      claim: "memory N=4096 against the original's algorithm",
      ratio: saved,
      must: 40,
      aim: 64,
    });
  }
  return claims;
}
