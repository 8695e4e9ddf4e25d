/**
 * Runs the prepared examples of a folder, one after the other in this process, and writes what
 * went wrong with each beside them. Started by examples.ts with the `@x/source` condition.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { format } from "node:util";
import { normalize } from "./prepare.js";

/** The file with the list of examples. */
export interface Manifest {
  examples: { program: string; expectations: (string | null)[] }[];
}

/** The file with one entry for each example: what went wrong with it, or null. */
export type Results = (string | null)[];

const folder = process.argv[2]!;
const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")) as Manifest;
const { restore } = (await import(pathToFileURL(join(folder, "restore.ts")).href)) as {
  restore: () => void;
};
const results: Results = [];
for (const { program, expectations } of manifest.examples) {
  results.push(await runExample(join(folder, program), expectations));
  restore();
}
await writeFile(join(folder, "results.json"), JSON.stringify(results));

async function runExample(
  program: string,
  expectations: readonly (string | null)[],
): Promise<string | null> {
  const printed = expectations.map((): string[] => []);
  Object.assign(globalThis, {
    $log: (index: number, ...values: unknown[]) => printed[index]!.push(format(...values)),
  });
  try {
    await import(pathToFileURL(program).href);
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  const differences = expectations.flatMap((expected, index) => {
    const actual = normalize(printed[index]!.join("\n"));
    return expected === null || expected === actual
      ? []
      : [`it says it prints\n${expected}\nbut it prints\n${actual}`];
  });
  return differences.length === 0 ? null : differences.join("\n");
}
