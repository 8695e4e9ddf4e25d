/** One token of autoregressive decoding, early and late in a sequence. */

import { mechanisms } from "../../mechanisms/table.js";
import { measure } from "../measure.js";
import type { DecodeTask } from "../peers/peer.js";
import { RemotePeer } from "../peers/remote.js";
import type { Claim, Entry, Row, SuiteResult } from "../report.js";
import { advantage, compareTasks, wasmPeers, type SuiteOptions } from "./tasks.js";

const positions = [128, 4096];
const kinds = ["trim encoder", ...mechanisms.map(({ name }) => name)];

/** The suite `decode`. */
export async function decode(options: SuiteOptions): Promise<SuiteResult> {
  const model = options.quick
    ? { width: 128, layers: 2, heads: 4 }
    : { width: 256, layers: 6, heads: 4 };
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
      const name = `ours: ${task.kind}`;
      entries.set(task, { name, sample, figures });
    }
  } finally {
    await Promise.all(remotes.map((remote) => remote.close()));
  }
  const rows: Row[] = positions.map((position) => ({
    what: `a token at position ${position}`,
    entries: tasks.filter((task) => task.position === position).map((task) => entries.get(task)!),
  }));
  const [early, late] = rows as [Row, Row];
  const constant = mechanisms.filter(({ isConstant }) => isConstant).map(({ name }) => name);
  const growth = (kind: string): number => {
    const time = ({ entries: own }: Row): number =>
      own.find(({ name }) => name === `ours: ${kind}`)!.sample!.median;
    return time(late) / time(early);
  };
  const compiled = rows.flatMap(({ entries: own }) => own.map(({ figures }) => figures!.compiled!));
  const claims: Claim[] = [
    ...["trim encoder", ...constant].map((kind) => ({
      claim: `${kind}: time of a token at position ${positions[1]} over position ${positions[0]}`,
      measured: growth(kind),
      must: 1.1,
      aim: 1,
      atMost: true,
    })),
    {
      claim: "compilations after the first token",
      measured: Math.max(...compiled),
      must: 0,
      aim: 0,
      unit: "",
      atMost: true,
    },
  ];

  // Most of a token's time goes into products of one row.
  const { width } = model;
  const products = await compareTasks(
    [{ op: "matmul", m: 1, k: width, n: 4 * width }],
    options,
    () => ({}),
  );
  rows.push(...products.rows);
  const notes = [
    `${model.layers} layers of ${width} with ${model.heads} heads; the cache has 64 places more than the position`,
    `1×${width}×${4 * width}: ${advantage(products.rows[0]!, wasmPeers).toFixed(1)} times as fast as the best WASM library`,
    ...products.notes,
  ];
  return { suite: "Decoding", rows, claims, notes };
}
