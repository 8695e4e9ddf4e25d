/** Finding golden files on disk. */

import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { RecordedCase } from "../recorded/case.js";
import { goldenCase } from "./run.js";

/** All golden files under `folder`, as `<area>/<case>.safetensors`. */
export async function findGoldenFiles(folder: string): Promise<RecordedCase[]> {
  const found: RecordedCase[] = [];
  for (const area of await readdir(folder, { withFileTypes: true })) {
    if (!area.isDirectory()) continue;
    for (const file of await readdir(join(folder, area.name))) {
      if (!file.endsWith(".safetensors")) continue;
      const read = async (): Promise<Uint8Array<ArrayBuffer>> =>
        new Uint8Array(await readFile(join(folder, area.name, file)));
      found.push(goldenCase(area.name, basename(file, ".safetensors"), read));
    }
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
