/**
 * Causal attention by length: exact attention, cumulative linear attention, and the algorithm of the
 * original trim-transformer, in our own operations and, where there is an interpreter, in PyTorch.
 */

import type { AttentionTask } from "../peers/peer.js";
import type { Claim, Entry, Row, SuiteResult } from "../report.js";
import { compareAttention } from "./compare-attention.js";
import type { SuiteOptions } from "./tasks.js";
import { TorchTimes } from "./torch.js";

const heads = 4;
const dim = 64;

const nameOf = (length: number, backward: boolean): string =>
  `N=${length}${backward ? " with gradients" : ""}`;

/** The suite `attention`. */
export async function attention(options: SuiteOptions): Promise<SuiteResult> {
  const lengths =
    options.lengths ?? (options.quick ? [512, 2048] : [512, 1024, 2048, 4096, 8192, 16384]);
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
      const tasks = ["trim", "exact", "trim original"].map((kind): AttentionTask => {
        return { op: "attention", kind, heads, length, dim, backward };
      });
      const entries = await compareAttention(tasks, options, notes);
      entries.push(...torch.entries("all", heads, length, backward, notes));
      rows.push({ what: nameOf(length, backward), entries });
    }
  }
  return { suite: "Causal attention", rows, claims: claimsOf(rows), notes };
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
      measured: mebibytes("ours: trim original") / mebibytes("ours: trim"),
      must: 40,
      aim: 64,
    },
  ];
}
