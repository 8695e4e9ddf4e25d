/** Times ours beside naive kernels, in turn, within one run. */

import type { Tensor } from "@x/tensor";
import { measure, type Effort } from "../measure.js";
import type { Entry, Row } from "../report.js";
import { largestDifference } from "../suites/tasks.js";
import { NaiveProgram } from "./naive.js";
import type { TensorProgram } from "./tensors.js";

/** What GPU suites are given. */
export interface GpuSuiteOptions {
  readonly gpu: GPUDevice;
  readonly effort: Effort;
  /** Sizes that a GPU that is computed by a processor can do. */
  readonly quick: boolean;
  /** The one mechanism to measure beside exact attention, in the suite of families; `null` for all. */
  readonly only: string | null;
  /** What the GPU can do at most: float32 TFLOPS and GB/s; `null` where not said. */
  readonly peakTflops: number | null;
  readonly peakBandwidth: number | null;
  readonly progress: (what: string) => void;
}

/** One computation, by several programs. */
export interface Comparison {
  readonly what: string;
  /** The first is ours. */
  readonly programs: readonly (TensorProgram | NaiveProgram)[];
  /** The buffer that holds the result of naive kernels. */
  readonly naiveResult?: number;
  /** Figures derived from the time of one run. */
  readonly figures: (milliseconds: number) => Readonly<Record<string, number>>;
  /** Inputs, to be given back. */
  readonly inputs: readonly Tensor[];
}

/** Times the programs of a comparison and gives back what they hold. */
export async function compare(
  { what, programs, naiveResult = 0, figures, inputs }: Comparison,
  { effort, progress }: GpuSuiteOptions,
): Promise<Row> {
  progress(what);
  const samples = await measure(programs, effort);
  const entries: Entry[] = [];
  let expected: Float32Array | undefined;
  for (const program of programs) {
    const sample = samples.get(program.name)!;
    const isNaive = program instanceof NaiveProgram;
    const result = isNaive ? await program.read(naiveResult) : await program.result();
    const launches = isNaive ? {} : await program.figures();
    entries.push({
      name: program.name,
      sample,
      figures: { ...figures(sample.median), ...launches },
      ...(expected === undefined ? {} : { difference: largestDifference(result, expected) }),
    });
    expected ??= result;
    if (isNaive) program.release();
  }
  for (const tensor of inputs) tensor.dispose();
  return { what, entries };
}

/** How many times faster the first entry of a row is than the one named. */
export function speedup(row: Row | undefined, name: string): number {
  const other = row?.entries.find((entry) => entry.name === name);
  return (other?.sample?.median ?? NaN) / (row?.entries[0]?.sample?.median ?? NaN);
}
