/** The command `goldens:hf`: its options, its lines, its exit codes. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, CommanderError } from "commander";
import { deviceNames, openDevice } from "../goldens/devices.js";
import { findCheckpoints } from "./find.js";
import { runCheckpoint, type CheckpointResult } from "./run.js";

/** The project's own copy of the checkpoints. */
export const projectCheckpoints: string = fileURLToPath(
  new URL("../../../../goldens-hf", import.meta.url),
);

interface Options {
  readonly dir: string;
  readonly device: string;
}

function makeProgram(print: (line: string) => void): Command {
  const write = (text: string): void => print(text.trimEnd());
  return new Command("goldens:hf")
    .description("Loads published checkpoints and compares with their recorded outputs.")
    .option("--dir <folder>", "folder with a folder for each checkpoint", projectCheckpoints)
    .option("--device <name>", `device to run on, one of ${deviceNames.join(", ")}`, "wasm")
    .addHelpText("after", "\nExits with 1 if a checkpoint failed, with 2 if the options are wrong.")
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: write });
}

function lineOf(name: string, { outcome, compared, worst }: CheckpointResult): string {
  const head = `${outcome.padEnd(7)} ${name}`;
  const error =
    worst === undefined
      ? ""
      : `  largest error ${worst.error.toExponential(2)}, tolerance ${worst.tolerance.toExponential(2)} (${worst.tensor})`;
  return compared.length === 0 ? head : `${head}  ${compared.join(", ")};${error}`;
}

async function runAll(options: Options, print: (line: string) => void): Promise<number> {
  const { dir, device } = options;
  if (!existsSync(dir)) {
    throw new Error(
      `--dir: the folder must exist, got "${dir}". Name a folder with folders of checkpoints.`,
    );
  }
  const folders = await findCheckpoints(dir);
  if (folders.length === 0) {
    throw new Error(
      `goldens:hf: at least one folder must hold a checkpoint, got none in "${dir}". Check --dir.`,
    );
  }
  const opened = await openDevice(device);
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const folder of folders) {
    const result = await runCheckpoint(folder, opened);
    count[result.outcome]++;
    print(lineOf(folder.name, result));
    for (const reason of result.reasons) print(`        ${reason}`);
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
