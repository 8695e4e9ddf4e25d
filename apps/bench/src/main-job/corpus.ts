/** The text a run learns from, and the part held out to judge it by. */

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { XError } from "@x/tensor";

/** Text as bytes, in two parts. */
export interface Corpus {
  /** Where it came from, for people. */
  readonly source: string;
  readonly training: Uint8Array;
  readonly heldOut: Uint8Array;
}

const repository = fileURLToPath(new URL("../../../../", import.meta.url));
const textFile = /\.(md|ts|mjs)$/;
const ignoredFolder = /^(node_modules|dist|\..*|goldens)$/;

/** One block in this many is held out. */
const heldOutShare = 20;
const blockBytes = 2048;

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

async function readRepository(): Promise<Uint8Array> {
  const texts = [];
  for (const file of await repositoryFiles(repository)) texts.push(await readFile(file));
  return new Uint8Array(Buffer.concat(texts));
}

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

/**
 * Reads `file`, or this repository's own documents and sources. Every twentieth block of 2 KiB is
 * held out, so that both parts are of the same kind.
 */
export async function readCorpus(file: string | undefined, length: number): Promise<Corpus> {
  const bytes = file === undefined ? await readRepository() : await readTextFile(file);
  const training: Uint8Array[] = [];
  const heldOut: Uint8Array[] = [];
  for (let start = 0, block = 0; start < bytes.length; start += blockBytes, block++) {
    const part = bytes.subarray(start, start + blockBytes);
    (block % heldOutShare === heldOutShare - 1 ? heldOut : training).push(part);
  }
  const corpus = {
    source: file ?? "this repository's documents and sources",
    training: new Uint8Array(Buffer.concat(training)),
    heldOut: new Uint8Array(Buffer.concat(heldOut)),
  };
  const least = length + 1;
  if (corpus.heldOut.length < least || corpus.training.length < least) {
    throw new XError(
      "argument",
      `--text: both parts of the text must be longer than --length ${length}, got ${corpus.training.length} bytes to learn from and ${corpus.heldOut.length} held out. Take a longer text (at least ${heldOutShare * Math.max(least, blockBytes)} bytes) or a smaller --length.`,
    );
  }
  return corpus;
}

/** Tokens and the tokens that follow them, both [batch, length] in row-major order. */
export interface Windows {
  readonly tokens: Int32Array;
  readonly targets: Int32Array;
}

/** Windows of `bytes` from the given starts. */
export function windowsAt(bytes: Uint8Array, starts: readonly number[], length: number): Windows {
  const tokens = new Int32Array(starts.length * length);
  const targets = new Int32Array(starts.length * length);
  starts.forEach((start, row) => {
    tokens.set(bytes.subarray(start, start + length), row * length);
    targets.set(bytes.subarray(start + 1, start + length + 1), row * length);
  });
  return { tokens, targets };
}
