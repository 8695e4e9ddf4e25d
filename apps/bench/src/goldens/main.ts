/** `pnpm goldens`: computes the recorded cases again and compares. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { deviceNames, openDevice } from "./devices.js";
import { findGoldenFiles, isSelected, runGoldenFile, type CaseResult, type Found } from "./run.js";

interface Options {
  readonly dir: string;
  readonly device: readonly string[];
  readonly only: readonly string[];
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value];

const program = new Command("goldens")
  .description("Compares the results of @x with those recorded from the original implementations.")
  .option("--dir <folder>", "folder with <area>/<case>.safetensors", projectGoldens())
  .option("--device <name>", `device to run on: ${deviceNames.join(", ")}; repeatable (default: all)`, collect, [])
  .option("--only <area[/case]>", "run only this area or case; repeatable", collect, [])
  .addHelpText("after", "\nExits with 1 if a case failed, with 2 if the options are wrong.");

function projectGoldens(): string {
  return fileURLToPath(new URL("../../../../goldens", import.meta.url));
}

function lineOf({ area, name }: Found, device: string, result: CaseResult): string {
  const head = `${result.outcome.padEnd(7)} ${device.padEnd(9)} ${area}/${name}`;
  if (result.worst === undefined) return head;
  const { error, tolerance, tensor } = result.worst;
  return `${head}  largest error ${error.toExponential(2)}, tolerance ${tolerance.toExponential(2)} (${tensor})`;
}

async function main(): Promise<void> {
  const { dir, device, only } = program.parse().opts<Options>();
  if (!existsSync(dir)) {
    throw new Error(`--dir: the folder must exist, got "${dir}". Name a folder of goldens.`);
  }
  const files = (await findGoldenFiles(dir)).filter((found) => isSelected(found, only));
  if (files.length === 0) {
    throw new Error(
      `goldens: at least one file must be selected, got none in "${dir}"${only.length > 0 ? ` for ${only.join(", ")}` : ""}. Check --dir and --only.`,
    );
  }
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const name of device.length > 0 ? device : deviceNames) {
    const opened = await openDevice(name);
    for (const found of files) {
      const result = await runGoldenFile(found, opened);
      count[result.outcome]++;
      console.log(lineOf(found, name, result));
      for (const reason of result.reasons) console.log(`        ${reason}`);
    }
  }
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  process.exitCode = count.failed > 0 ? 1 : 0;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
});
