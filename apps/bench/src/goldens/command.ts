/** The command `goldens`: its options, its lines, its exit codes. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, CommanderError } from "commander";
import { defaultDeviceNames, deviceNames, openDevice } from "./devices.js";
import { findGoldenFiles, isSelected } from "./find.js";
import { runGoldenFile, type CaseResult, type FoundFile } from "./run.js";

/** The project's own copy of the goldens. */
export const projectGoldens: string = fileURLToPath(
  new URL("../../../../goldens", import.meta.url),
);

interface Options {
  readonly dir: string;
  readonly device: readonly string[];
  readonly only: readonly string[];
}

function makeProgram(print: (line: string) => void): Command {
  const collect = (value: string, before: readonly string[]): string[] => [...before, value];
  const write = (text: string): void => print(text.trimEnd());
  return new Command("goldens")
    .description("Compares the results of @x with those of the original implementations.")
    .option("--dir <folder>", "folder with <area>/<case>.safetensors", projectGoldens)
    .option(
      "--device <name>",
      `device to run on, one of ${deviceNames.join(", ")}; may be repeated (default: ${defaultDeviceNames.join(" and ")})`,
      collect,
      [],
    )
    .option("--only <area[/case]>", "only this area or case; may be repeated", collect, [])
    .addHelpText("after", "\nExits with 1 if a case failed, with 2 if the options are wrong.")
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: write });
}

function lineOf({ area, name }: FoundFile, device: string, result: CaseResult): string {
  const head = `${result.outcome.padEnd(7)} ${device.padEnd(9)} ${area}/${name}`;
  if (result.worst === undefined) return head;
  const { error, tolerance, tensor } = result.worst;
  return `${head}  largest error ${error.toExponential(2)}, tolerance ${tolerance.toExponential(2)} (${tensor})`;
}

async function runAll(options: Options, print: (line: string) => void): Promise<number> {
  const { dir, device, only } = options;
  if (!existsSync(dir)) {
    throw new Error(`--dir: the folder must exist, got "${dir}". Name a folder of goldens.`);
  }
  const files = (await findGoldenFiles(dir)).filter((file) => isSelected(file, only));
  if (files.length === 0) {
    const wanted = only.length > 0 ? ` for ${only.join(", ")}` : "";
    throw new Error(
      `goldens: at least one file must be selected, got none in "${dir}"${wanted}. Check --dir and --only.`,
    );
  }
  const names = device.length > 0 ? [...new Set(device)] : defaultDeviceNames;
  const opened = await Promise.all(names.map(openDevice));
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const [i, name] of names.entries()) {
    for (const file of files) {
      const result = await runGoldenFile(file, opened[i]!);
      count[result.outcome]++;
      print(lineOf(file, name, result));
      for (const reason of result.reasons) print(`        ${reason}`);
    }
  }
  print(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed > 0 ? 1 : 0;
}

/** Runs the command with the given arguments; gives the exit code. */
export async function runCommand(
  args: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  try {
    const program = makeProgram(print).parse([...args], { from: "user" });
    return await runAll(program.opts<Options>(), print);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    print(error instanceof Error ? error.message : String(error));
    return 2;
  }
}
