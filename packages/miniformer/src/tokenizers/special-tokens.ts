/** Tokens that stand for no text. */

import { check } from "@x/tensor/checks";

/** Numbers the names of special tokens from `first` on. */
export function numbered(
  op: string,
  names: readonly string[],
  first: number,
): ReadonlyMap<string, number> {
  const ids = new Map(names.map((name, i) => [name, first + i]));
  check(
    ids.size === names.length,
    "argument",
    () =>
      `${op}: special tokens must have names of their own, got ${JSON.stringify(names)}. Rename one of them.`,
  );
  return ids;
}

/** Refuses an id that is not that of a token. */
export function checkId(op: string, id: number, vocabSize: number): void {
  check(
    Number.isInteger(id) && id >= 0 && id < vocabSize,
    "argument",
    () =>
      `${op}: ids must be whole numbers from 0 to ${vocabSize - 1}, got ${id}. Decode with the tokenizer that the model was trained with.`,
  );
}
