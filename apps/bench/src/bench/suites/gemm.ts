/** Matrix products against every library, and against native code. */

import type { Task } from "../peers/peer.js";
import type { Claim, SuiteResult } from "../report.js";
import { advantage, compareTasks, wasmPeers, type SuiteOptions } from "./tasks.js";

/** The suite `gemm`. */
export async function gemm(options: SuiteOptions): Promise<SuiteResult> {
  const sizes = options.quick ? [64, 512] : [64, 128, 256, 512, 1024, 2048];
  const tasks: Task[] = sizes.map((n) => ({ op: "matmul", m: n, k: n, n }));
  const { rows, notes } = await compareTasks(tasks, options, (task, milliseconds) =>
    task.op === "matmul" ? { GFLOPS: (2 * task.m * task.k * task.n) / milliseconds / 1e6 } : {},
  );
  const claims: Claim[] = rows.map((row, i) => {
    const n = sizes[i]!;
    return n <= 128
      ? {
          claim: `matmul ${n}³ against jax-js`,
          measured: advantage(row, ["jax"]),
          must: 5,
          aim: 10,
        }
      : {
          claim: `matmul ${n}³ against the best WASM library`,
          measured: advantage(row, wasmPeers),
          must: 2,
          aim: 2.8,
        };
  });
  const native = rows.flatMap((row, i): Claim[] => {
    const measured = advantage(row, ["ort-node"], ["ours-256"]);
    if (sizes[i]! < 512 || Number.isNaN(measured)) return [];
    const claim = `matmul ${sizes[i]!}³ with 256-bit operations against native code`;
    return [{ claim, measured, must: 0.8, aim: 1.25 }];
  });
  return { suite: "Matrix products", rows, claims: [...claims, ...native], notes };
}
