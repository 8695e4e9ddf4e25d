/** What `npm start` asks of the command `miniformer`. */

import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readRepository } from "./repository.js";

const commands = ["train", "generate", "eval", "inspect", "help"];

/** Where this repository's text is put, so that a run can go on with the text that it began with. */
const textFile = join("checkpoints", "repository.txt");

/** What is asked for where nothing else is said. */
const defaults: readonly string[] = [
  ...["--attention", "trim", "--save", join("checkpoints", "main-job"), "--overwrite"],
  ...["--generate", "400", "--prompt", "The tensor ", "--table"],
];

/** The program of the command: from source, where this is source. */
export function commandFile(): string {
  const folder = dirname(fileURLToPath(import.meta.resolve("@x/miniformer/package.json")));
  const isSource = import.meta.url.endsWith(".ts");
  return join(folder, isSource ? "src/cli/main.ts" : "dist/cli/main.js");
}

/**
 * The arguments of the command: those that were given, if they name one of its commands; else those of
 * `train`, after defaults, with this repository's text if no other is named.
 */
export async function commandArguments(given: readonly string[]): Promise<readonly string[]> {
  if (commands.includes(given[0] ?? "")) return given;
  const has = (...names: readonly string[]): boolean =>
    given.some((word) => names.includes(word.replace(/=.*$/s, "")));
  if (has("--help", "-h", "--resume")) return ["train", ...given];
  if (has("--text", "--data")) return ["train", ...defaults, ...given];
  return ["train", ...defaults, "--data", await writeRepositoryText(), ...given];
}

async function writeRepositoryText(): Promise<string> {
  await mkdir(dirname(textFile), { recursive: true });
  await writeFile(textFile, await readRepository());
  return textFile;
}
