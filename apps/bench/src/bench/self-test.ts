/** `pnpm bench self-test`: every kernel of a device against the float64 reference. */

import { formatSelfTest, formatSelfTestCase, selfTest } from "@x/kernels-webgpu/self-test";
import { writeFile } from "node:fs/promises";
import { openDevice } from "../devices.js";

/** What is tested. */
export interface SelfTestCommandOptions {
  readonly device: string;
  readonly only: string;
  readonly seed: number;
  readonly json?: string;
}

/** Prints the table; gives the number of cases that failed. */
export async function runSelfTest(
  { device, only, seed, json }: SelfTestCommandOptions,
  print: (line: string) => void,
): Promise<number> {
  const result = await selfTest(await openDevice(device), {
    only,
    seed,
    onProgress: (case_, done, total) => {
      process.stderr.write(`  ${done}/${total} ${formatSelfTestCase(case_)}\n`);
    },
  });
  print(formatSelfTest(result));
  if (json !== undefined) {
    await writeFile(json, `${JSON.stringify(result, null, 2)}\n`);
    print(`Written to ${json}.`);
  }
  return result.failed;
}
