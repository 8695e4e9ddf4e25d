/** Finding checkpoints on disk. */

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** A folder that may hold a checkpoint. */
export interface CheckpointFolder {
  readonly name: string;
  readonly path: string;
}

/** Name of the file with what was recorded. */
export const expectedFile = "expected.safetensors";

/** All folders in `folder` with a `config.json` or recorded outputs, by name. */
export async function findCheckpoints(folder: string): Promise<CheckpointFolder[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .map(({ name }) => ({ name, path: join(folder, name) }))
    .filter(({ path }) =>
      [expectedFile, "config.json"].some((file) => existsSync(join(path, file))),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
