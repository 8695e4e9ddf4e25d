/** The time of one token of autoregressive decoding, early and late in a sequence. */

import { mechanisms } from "../../mechanisms/table.js";
import { measure } from "../measure.js";
import type { DecodeTask } from "../peers/peer.js";
import { RemotePeer } from "../peers/remote.js";
import type { Claim, Entry, Row, SuiteResult } from "../report.js";
import type { SuiteOptions } from "./tasks.js";

const positions = [128, 4096] as const;

/** The model that decodes. */
export type DecodingModel = Pick<DecodeTask, "width" | "layers" | "heads">;

/** Kinds whose state has the same size for sequences of any length. */
const constantKinds: ReadonlySet<string> = new Set([
  "trim encoder",
  ...mechanisms.filter(({ isConstant }) => isConstant).map(({ name }) => name),
]);

/** Times a token of every kind at both positions, all in turn, each in a process of its own. */
export async function compareDecoding(
  kinds: readonly string[],
  model: DecodingModel,
  options: SuiteOptions,
): Promise<Pick<SuiteResult, "rows" | "claims" | "notes">> {
  const tasks = positions.flatMap((position) =>
    kinds.map((kind): DecodeTask => ({ op: "decode", kind, position, ...model })),
  );
  const remotes: RemotePeer[] = [];
  const entries = new Map<DecodeTask, Entry>();
  try {
    for (const task of tasks) {
      options.progress(`${task.kind} at position ${task.position}`);
      const remote = await RemotePeer.open("ours", options.threads);
      remotes.push(remote);
      await remote.prepare(task, []);
    }
    const samples = await measure(
      remotes.map((remote, i) => ({ name: String(i), turn: (runs) => remote.turn(runs) })),
      options.effort,
    );
    for (const [i, task] of tasks.entries()) {
      const sample = samples.get(String(i))!;
      const figures = { "tokens/s": 1000 / sample.median, ...(await remotes[i]!.figures()) };
      entries.set(task, { name: `ours: ${task.kind}`, sample, figures });
    }
  } finally {
    await Promise.all(remotes.map((remote) => remote.close()));
  }
  const rowAt = (position: number): Row => ({
    what: `a token at position ${position}`,
    entries: tasks.filter((task) => task.position === position).map((task) => entries.get(task)!),
  });
  const [early, late] = [rowAt(positions[0]), rowAt(positions[1])];
  return { rows: [early, late], ...judge(kinds, early, late) };
}

/** Bounds for states of constant size; of the others it is only told how much longer they take. */
function judge(
  kinds: readonly string[],
  early: Row,
  late: Row,
): { readonly claims: readonly Claim[]; readonly notes: readonly string[] } {
  const growth = (kind: string): number => {
    const time = ({ entries }: Row): number =>
      entries.find(({ name }) => name === `ours: ${kind}`)!.sample!.median;
    return time(late) / time(early);
  };
  const [first, last] = positions;
  const compiled = [early, late].flatMap(({ entries }) =>
    entries.map(({ figures }) => figures!.compiled!),
  );
  const claims: Claim[] = kinds
    .filter((kind) => constantKinds.has(kind))
    .map((kind) => ({
      claim: `${kind}: time of a token at position ${last} over position ${first}`,
      measured: growth(kind),
      must: 1.1,
      aim: 1,
      atMost: true,
    }));
  claims.push({
    claim: "compilations after the first token",
    measured: Math.max(...compiled),
    must: 0,
    aim: 0,
    unit: "",
    atMost: true,
  });
  const notes = kinds
    .filter((kind) => !constantKinds.has(kind))
    .map(
      (kind) =>
        `${kind}, whose state grows: a token at position ${last} takes ${growth(kind).toFixed(2)} times what one at position ${first} takes`,
    );
  return { claims, notes };
}
