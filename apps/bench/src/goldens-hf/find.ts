/** Finding checkpoints on disk. */

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { runOn, type RecordedCase } from "../recorded/case.js";
import { compareCheckpoint, expectedFile } from "./run.js";

/** All folders in `folder` with a `config.json` or recorded outputs, by name. */
export async function findCheckpoints(folder: string): Promise<RecordedCase[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .map(({ name }) => ({ name, path: join(folder, name) }))
    .filter(({ path }) =>
      [expectedFile, "config.json"].some((file) => existsSync(join(path, file))),
    )
    .map(({ name, path }): RecordedCase => {
      return { name, run: (device) => runOn(device, () => compareCheckpoint(path)) };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
