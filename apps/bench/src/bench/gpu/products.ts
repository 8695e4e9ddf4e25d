/** Matrix products on the GPU, and a vector times a matrix. */

import type { SuiteResult } from "../report.js";
import { compare, speedup, type GpuSuiteOptions } from "./compare.js";
import { naiveMatmul, NaiveProgram } from "./naive.js";
import { input, TensorProgram } from "./tensors.js";

const naive = "naive kernel";

/** The suite of products. */
export async function products(options: GpuSuiteOptions): Promise<SuiteResult> {
  const { gpu, quick, peakTflops } = options;
  const sizes = quick ? [64, 128] : [256, 512, 1024, 2048, 4096];
  const width = quick ? 256 : 4096;
  const shapes = [
    ...sizes.map((n) => [n, n, n] as const),
    // One token through a layer, and a batch of them whose rows do not fill a tile.
    [1, width, width] as const,
    [quick ? 10 : 100, width, quick ? 70 : 1000] as const,
  ];
  const rows = [];
  for (const [m, k, n] of shapes) {
    const [a, b] = [await input([m, k], 1), await input([k, n], 2)];
    const launches = [naiveMatmul(m, n, k)];
    rows.push(
      await compare(
        {
          what: `${m}×${k}×${n}`,
          inputs: [a.tensor, b.tensor],
          programs: [
            new TensorProgram(gpu, "ours", () => [a.tensor.matmul(b.tensor)]),
            new NaiveProgram(gpu, naive, [a.data, b.data], [m * n], launches),
          ],
          naiveResult: 2,
          figures: (milliseconds) => ({
            GFLOPS: (2 * m * k * n) / milliseconds / 1e6,
            "% of peak":
              peakTflops === null ? NaN : (100 * 2 * m * k * n) / milliseconds / 1e9 / peakTflops,
            "GB/s": (4 * (m * k + k * n + m * n)) / milliseconds / 1e6,
          }),
        },
        options,
      ),
    );
  }
  const largest = rows[sizes.length - 1]!;
  return {
    suite: "Matrix products on the GPU, float32",
    rows,
    claims: [
      {
        claim: `${largest.what}, share of the peak`,
        measured: largest.entries[0]!.figures!["% of peak"]!,
        must: 45,
        aim: 65,
        unit: " %",
      },
    ],
    notes: [`${largest.what}: ${speedup(largest, naive).toFixed(1)} times the naive kernel`],
  };
}
