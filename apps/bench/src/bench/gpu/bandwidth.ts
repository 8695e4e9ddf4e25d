/** Memory bandwidth of kernels that are bound by it. */

import { layerNorm, type Tensor } from "@x/tensor";
import type { SuiteResult } from "../report.js";
import { compare, type GpuSuiteOptions } from "./compare.js";
import { input, TensorProgram } from "./tensors.js";

/** Computations of [rows, columns], and how often each reads and writes that many numbers at least. */
const kernels: readonly {
  readonly what: string;
  readonly passes: number;
  readonly compute: (a: Tensor, b: Tensor) => Tensor;
}[] = [
  { what: "a + 1", passes: 2, compute: (a) => a.add(1) },
  {
    what: "tanh(a · b + a) · 0.5 + b",
    passes: 3,
    compute: (a, b) => a.mul(b).add(a).tanh().mul(0.5).add(b),
  },
  { what: "a transposed + b", passes: 3, compute: (a, b) => a.t().add(b.reshape(a.t().shape)) },
  { what: "sum of rows", passes: 1, compute: (a) => a.sum(1) },
  { what: "sum of everything", passes: 1, compute: (a) => a.sum() },
  { what: "softmax", passes: 2, compute: (a) => a.softmax(-1) },
  { what: "layer norm", passes: 2, compute: (a) => layerNorm(a, a.shape[1]!) },
  { what: "cumulative sum", passes: 2, compute: (a) => a.cumsum(1) },
];

/** The suite of bandwidth. */
export async function bandwidth(options: GpuSuiteOptions): Promise<SuiteResult> {
  const { gpu, quick, peakBandwidth } = options;
  const [rowCount, columns] = quick ? [64, 256] : [8192, 4096];
  const rows = [];
  for (const { what, passes, compute } of kernels) {
    const [a, b] = [await input([rowCount, columns], 1), await input([rowCount, columns], 2)];
    const bytes = 4 * passes * rowCount * columns;
    rows.push(
      await compare(
        {
          what,
          inputs: [a.tensor, b.tensor],
          programs: [new TensorProgram(gpu, "ours", () => [compute(a.tensor, b.tensor)])],
          figures: (milliseconds) => ({
            "GB/s": bytes / milliseconds / 1e6,
            "% of peak":
              peakBandwidth === null ? NaN : (100 * bytes) / milliseconds / 1e6 / peakBandwidth,
          }),
        },
        options,
      ),
    );
  }
  return {
    suite: `Bandwidth on the GPU, ${rowCount} × ${columns} float32`,
    rows,
    claims: [],
    notes: ["bytes are the fewest that can be moved: every input read once, every output written"],
  };
}
