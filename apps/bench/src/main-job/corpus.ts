/** The text of this repository, to learn from. */

import { readRepository } from "./repository.js";
import { splitText, type Corpus } from "./text.js";

/** This repository's own documents and sources, for windows of `length` bytes. */
export async function readCorpus(length: number): Promise<Corpus> {
  return splitText(await readRepository(), length);
}
