/** Commands that compare with what was recorded: their options, their lines, their exit codes. */

import { existsSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { deviceNames, openDevice } from "../devices.js";
import type { CaseResult, RecordedCase } from "./case.js";

/** What a command compares. */
export interface Recordings {
  /** The name of the command. */
  readonly command: string;
  readonly description: string;
  /** The project's own recordings. */
  readonly folder: string;
  /** What a folder holds, in words. */
  readonly holds: string;
  /** What `--only` takes. */
  readonly only: string;
  /** The devices to run on where none is named. */
  readonly devices: readonly string[];
  /** All cases of a folder. */
  readonly find: (folder: string) => Promise<readonly RecordedCase[]>;
}

interface Options {
  readonly dir: string;
  readonly device: readonly string[];
  readonly only: readonly string[];
}

function makeProgram(recordings: Recordings, print: (line: string) => void): Command {
  const { command, description, folder, holds, only, devices } = recordings;
  const collect = (value: string, before: readonly string[]): string[] => [...before, value];
  const write = (text: string): void => print(text.trimEnd());
  return new Command(command)
    .description(description)
    .option("--dir <folder>", `folder with ${holds}`, folder)
    .option(
      "--device <name>",
      `device to run on, one of ${deviceNames.join(", ")}; may be repeated (default: ${devices.join(" and ")})`,
      collect,
      [],
    )
    .option(`--only <${only}>`, `only this ${only}; may be repeated`, collect, [])
    .addHelpText("after", "\nExits with 1 if a case failed, with 2 if the options are wrong.")
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: write });
}

function lineOf(name: string, device: string, { outcome, compared, worst }: CaseResult): string {
  const head = `${outcome.padEnd(7)} ${device.padEnd(9)} ${name}`;
  const names = compared === undefined ? "" : `  ${compared.join(", ")};`;
  if (worst === undefined) return `${head}${names}`;
  const { error, tolerance, tensor } = worst;
  return `${head}${names}  largest error ${error.toExponential(2)}, tolerance ${tolerance.toExponential(2)} (${tensor})`;
}

/** Whether `--only` names the case, or the area before its `/`. */
function isSelected({ name }: RecordedCase, only: readonly string[]): boolean {
  return only.length === 0 || only.some((one) => name === one || name.startsWith(`${one}/`));
}

async function runAll(
  { command, devices, find, holds }: Recordings,
  { dir, device, only }: Options,
  print: (line: string) => void,
): Promise<number> {
  if (!existsSync(dir)) {
    throw new Error(`--dir: the folder must exist, got "${dir}". Name a folder with ${holds}.`);
  }
  const cases = (await find(dir)).filter((one) => isSelected(one, only));
  if (cases.length === 0) {
    const wanted = only.length > 0 ? ` for ${only.join(", ")}` : "";
    throw new Error(
      `${command}: at least one case must be selected, got none in "${dir}"${wanted}. Check --dir and --only.`,
    );
  }
  const names = device.length > 0 ? [...new Set(device)] : devices;
  const opened = await Promise.all(names.map(openDevice));
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const [i, name] of names.entries()) {
    for (const one of cases) {
      const result = await one.run(opened[i]!);
      count[result.outcome]++;
      print(lineOf(one.name, name, result));
      for (const reason of result.reasons) print(`        ${reason}`);
    }
  }
  print(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed > 0 ? 1 : 0;
}

/** Runs a command with the given arguments; gives the exit code. */
export async function runCommand(
  recordings: Recordings,
  args: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  try {
    const program = makeProgram(recordings, print).parse([...args], { from: "user" });
    return await runAll(recordings, program.opts<Options>(), print);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    print(error instanceof Error ? error.message : String(error));
    return 2;
  }
}
