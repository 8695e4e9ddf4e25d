/** Attention in PyTorch, in a process of its own that is gone before anything else is measured. */

import { execa } from "execa";
import { fileURLToPath } from "node:url";
import type { Entry } from "../report.js";
import type { SuiteOptions } from "./tasks.js";

/** What PyTorch computes; python/attention.py has the definitions. */
export type TorchOp = "exact" | "trim" | "chunked" | "srf" | "linear" | "thinformer";

interface TorchCase {
  readonly op: TorchOp;
  readonly length: number;
  readonly backward: boolean;
}

interface TorchResult extends TorchCase {
  readonly milliseconds?: number;
  readonly fastest?: number;
  readonly slowest?: number;
  readonly error?: string;
}

/** Results of PyTorch, and what it said about itself. */
export class TorchTimes {
  readonly #results: readonly TorchResult[];
  readonly notes: readonly string[];

  private constructor(results: readonly TorchResult[], notes: readonly string[]) {
    this.#results = results;
    this.notes = notes;
  }

  /** Of no interpreter. */
  static none(): TorchTimes {
    return new TorchTimes([], ["PyTorch was not measured: --python names an interpreter with it"]);
  }

  /** Runs every case with the interpreter `python`. */
  static async measure(
    python: string,
    ops: readonly TorchOp[],
    sizes: { readonly heads: number; readonly dim: number; readonly lengths: readonly number[] },
    { threads, effort, progress }: SuiteOptions,
  ): Promise<TorchTimes> {
    const { heads, dim, lengths } = sizes;
    const cases = lengths.flatMap((length) =>
      [false, true].flatMap((backward) => ops.map((op) => ({ op, length, backward }))),
    );
    const { rounds, turnMilliseconds } = effort;
    const request = { threads, heads, dim, cases, rounds, seconds: turnMilliseconds / 1000 };
    const script = fileURLToPath(new URL("../../../python/attention.py", import.meta.url));
    progress("PyTorch");
    const process = execa(python, [script, JSON.stringify(request)], {
      reject: false,
      // OpenMP's threads would spin after each operation and take the time of BLAS's.
      env: { OMP_WAIT_POLICY: "passive" },
    });
    const results: TorchResult[] = [];
    const notes: string[] = [];
    for await (const line of process) {
      if (!line.startsWith("{")) continue;
      const answer = JSON.parse(line) as TorchResult | { readonly settings: string };
      if ("settings" in answer) notes.push(`torch: ${answer.settings}`);
      else {
        results.push(answer);
        progress(
          `PyTorch, ${answer.op} N=${answer.length}${answer.backward ? " with gradients" : ""}`,
        );
      }
    }
    const { failed, shortMessage, stderr } = await process;
    if (failed) {
      const reason = stderr === "" ? shortMessage : stderr.trim().split("\n").at(-1);
      notes.push(`torch ended after ${results.length} of ${cases.length} cases: ${reason}`);
    }
    return new TorchTimes(results, notes);
  }

  /** What was measured for one length, of one operation or all; what failed says why in `notes`. */
  entries(
    which: TorchOp | "all",
    heads: number,
    length: number,
    backward: boolean,
    notes: string[],
  ): Entry[] {
    return this.#results
      .filter((result) => result.length === length && result.backward === backward)
      .filter(({ op }) => which === "all" || op === which)
      .map(({ op, milliseconds: median, fastest = NaN, slowest = NaN, error }) => {
        const name = `torch: ${op}`;
        if (median === undefined) {
          notes.push(`${name} N=${length}${backward ? " with gradients" : ""}: ${error}`);
          return { name, sample: null };
        }
        const figures = { µs: (1000 * median) / (heads * length) };
        return { name, sample: { median, fastest, slowest }, figures };
      });
  }
}
