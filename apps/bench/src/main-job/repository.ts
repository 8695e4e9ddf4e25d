/** The text of this repository, which is what runs learn from where nothing else is named. */

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../../../../", import.meta.url));
const textFile = /\.(md|ts|mjs)$/;
const ignoredFolder = /^(node_modules|dist|\..*|goldens)$/;

async function repositoryFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const nested = await Promise.all(
    entries
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(async (entry) => {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) return ignoredFolder.test(entry.name) ? [] : repositoryFiles(path);
        return textFile.test(entry.name) ? [path] : [];
      }),
  );
  return nested.flat();
}

/** This repository's own documents and sources. */
export async function readRepository(): Promise<Uint8Array> {
  const texts = [];
  for (const file of await repositoryFiles(repository)) texts.push(await readFile(file));
  return new Uint8Array(Buffer.concat(texts));
}
