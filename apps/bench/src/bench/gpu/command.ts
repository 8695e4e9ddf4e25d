/** `pnpm bench gpu`: how fast the GPU device is, beside naive kernels in the same run. */

import { getDevice, setDevice } from "@x/tensor";
import { writeFile } from "node:fs/promises";
import { formatSuite, type SuiteResult } from "../report.js";
import { attention } from "./attention.js";
import { bandwidth } from "./bandwidth.js";
import type { GpuSuiteOptions } from "./compare.js";
import { families } from "./families.js";
import { models } from "./models.js";
import { describeGpu, openGpu } from "./open.js";
import { products } from "./products.js";

const suites: Readonly<Record<string, (options: GpuSuiteOptions) => Promise<SuiteResult>>> = {
  gemm: products,
  attention,
  families,
  bandwidth,
  models,
};

/** The names of the suites. */
export const gpuSuiteNames: readonly string[] = Object.keys(suites);

/** What is measured. */
export interface GpuBenchOptions {
  readonly quick: boolean;
  readonly peakTflops?: number;
  readonly peakBandwidth?: number;
  readonly only?: string;
  readonly json?: string;
}

/** Runs the suite of that name, or all of them. */
export async function runGpuBench(
  name: string,
  { quick, peakTflops, peakBandwidth, only, json }: GpuBenchOptions,
  print: (line: string) => void,
): Promise<void> {
  const { device, gpu, entry } = await openGpu();
  const before = getDevice();
  setDevice(device);
  try {
    const adapter = describeGpu(device);
    print(`${adapter}, Node ${process.versions.node}`);
    const results: SuiteResult[] = [];
    for (const suite of name === "all" ? gpuSuiteNames : [name]) {
      const result = await suites[suite]!({
        gpu,
        effort: quick ? { rounds: 3, turnMilliseconds: 20 } : { rounds: 7, turnMilliseconds: 200 },
        quick,
        only: only ?? null,
        peakTflops: peakTflops ?? null,
        peakBandwidth: peakBandwidth ?? null,
        progress: (what) => process.stderr.write(`  ${suite}: ${what}\n`),
      });
      results.push(result);
      print(formatSuite(result));
      if (json !== undefined) {
        await writeFile(json, `${JSON.stringify({ adapter, suites: results }, null, 2)}\n`);
      }
    }
  } finally {
    setDevice(before);
    gpu.destroy();
  }
  // Until here, since its devices stop working without it.
  void entry;
}
