/** The text a run learns from, out of files. */

import { readFile } from "node:fs/promises";
import { XError } from "@x/tensor";
import { readRepository } from "./repository.js";
import { splitText, type Corpus } from "./text.js";

async function readTextFile(file: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(file));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new XError(
      "argument",
      `--text: the file must be readable, got "${file}" (${reason}). Name a text file that exists.`,
      { cause: error },
    );
  }
}

/** Reads `file`, or this repository's own documents and sources. */
export async function readCorpus(file: string | undefined, length: number): Promise<Corpus> {
  const bytes = file === undefined ? await readRepository() : await readTextFile(file);
  return splitText(bytes, file ?? "this repository's documents and sources", length, {
    text: "--text",
    length: "--length",
  });
}
