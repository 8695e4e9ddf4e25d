/** Finding golden files on disk. */

import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { FoundFile } from "./run.js";

/** All golden files under `folder`, as `<area>/<case>.safetensors`. */
export async function findGoldenFiles(folder: string): Promise<FoundFile[]> {
  const found: FoundFile[] = [];
  for (const area of await readdir(folder, { withFileTypes: true })) {
    if (!area.isDirectory()) continue;
    for (const file of await readdir(join(folder, area.name))) {
      if (!file.endsWith(".safetensors")) continue;
      const name = basename(file, ".safetensors");
      const read = async (): Promise<Uint8Array<ArrayBuffer>> =>
        new Uint8Array(await readFile(join(folder, area.name, file)));
      found.push({ area: area.name, name, read });
    }
  }
  return found.sort((a, b) => (`${a.area}/${a.name}` < `${b.area}/${b.name}` ? -1 : 1));
}

/** Whether `--only` names the file: by its area, or by area and case. */
export function isSelected({ area, name }: FoundFile, only: readonly string[]): boolean {
  return only.length === 0 || only.includes(area) || only.includes(`${area}/${name}`);
}
