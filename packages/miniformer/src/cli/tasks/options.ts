/** What jobs are made with. */

import { XError } from "@x/tensor";
import { fromArray, split, type Source } from "../../data/source.js";
import type { Tokenizer } from "../../tokenizers/tokenizer.js";

/** Options of every job. */
export interface JobOptions {
  /** The longest sequence: windows of text, contexts of series. */
  readonly length: number;
  /** The share of the data that is held out; `null`: all of it is to judge by. */
  readonly heldOut: number | null;
  /** How many examples of what is held out are looked at, at most. */
  readonly mostHeldOut: number;
  /** What the choice of what is held out follows from. */
  readonly seed: number;
  /** The tokenizer of a model that was loaded, or `null`. */
  readonly tokenizer: Tokenizer | null;
  /** What `--tokenizer` says. */
  readonly tokenizerName?: string | undefined;
  /** How many rows of a series are predicted. */
  readonly horizon?: number | undefined;
  /** The columns of a series that are predicted. */
  readonly targets?: readonly string[] | undefined;
}

/**
 * Examples to learn from, and examples to judge by.
 *
 * @throws XError `argument` if there are too few
 */
export function parts<E>(
  examples: readonly E[],
  { heldOut: share, seed }: JobOptions,
): { readonly training: Source<E>; readonly heldOut: Source<E> } {
  const all = fromArray(examples);
  if (share === null) return { training: all, heldOut: all };
  if (examples.length < 2) {
    throw new XError(
      "argument",
      `--data: there must be at least two rows, one to learn from and one to judge by, got ${examples.length}. Take more data.`,
    );
  }
  const { training, validation } = split(all, { validation: share, seed });
  return { training, heldOut: validation };
}
