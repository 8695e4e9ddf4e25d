/** Softmax, layer norm, GELU and a fused chain against every library. */

import type { Task } from "../peers/peer.js";
import type { SuiteResult } from "../report.js";
import { advantage, compareTasks, wasmPeers, type SuiteOptions } from "./tasks.js";

/** The suite `elementwise`. */
export async function elementwise(options: SuiteOptions): Promise<SuiteResult> {
  const rows1024 = options.quick ? 1024 : 4096;
  const size = options.quick ? 1 << 18 : 1 << 20;
  const tasks: Task[] = [
    { op: "softmax", rows: rows1024, columns: 1024 },
    { op: "layerNorm", rows: rows1024, columns: 512 },
    { op: "gelu", size },
    { op: "chain", size },
  ];
  const { rows, notes } = await compareTasks(tasks, options, () => ({}));
  const claims = rows.map((row) => ({
    claim: `${row.what} against the best WASM library`,
    measured: advantage(row, wasmPeers),
    must: 1.5,
    aim: 4,
  }));
  return { suite: "Elementwise and rows", rows, claims, notes };
}
