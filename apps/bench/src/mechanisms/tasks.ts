/** What every mechanism must be able to learn: sequences of tokens, and how well they were learnt. */

import type { Corpus } from "../main-job/text.js";
import { windowsAt } from "../main-job/text.js";

/** Some sequences. Only places with a target of at least 0 are learnt and judged. */
export interface Sequences {
  /** [batch, length] in row-major order. */
  readonly tokens: Int32Array;
  /** The next token of each place, or −1. */
  readonly targets: Int32Array;
}

/** Something to learn. */
export interface LearningTask {
  readonly name: string;
  readonly vocabulary: number;
  readonly length: number;
  readonly steps: number;
  readonly rate: number;
  /** Sequences that were not learnt from where `isHeldOut`. */
  readonly draw: (count: number, random: () => number, isHeldOut: boolean) => Sequences;
  /** What must be reached: a share of right tokens, or bits a token at most. */
  readonly goal: { readonly accuracy: number } | { readonly bits: number };
}

const symbols = 8;
const copied = 6;

/** Random symbols, a separator, and the same symbols again: to copy is to look back exactly that far. */
export const copyTask: LearningTask = {
  name: "copy",
  vocabulary: symbols + 1,
  length: 2 * copied,
  steps: 1000,
  rate: 2e-3,
  goal: { accuracy: 0.95 },
  draw: (count, random) => {
    const length = 2 * copied;
    const tokens = new Int32Array(count * length);
    const targets = new Int32Array(count * length).fill(-1);
    for (let row = 0; row < count; row++) {
      const word = Int32Array.from({ length: copied }, () => Math.floor(random() * symbols));
      tokens.set([...word, symbols, ...word.slice(0, -1)], row * length);
      targets.set(word, row * length + copied);
    }
    return { tokens, targets };
  },
};

/** Bytes of text. */
export function textTask({ training, heldOut }: Corpus, length: number): LearningTask {
  return {
    name: "text",
    vocabulary: 256,
    length,
    steps: 300,
    rate: 2e-3,
    goal: { bits: 4 },
    draw: (count, random, isHeldOut) => {
      const bytes = isHeldOut ? heldOut : training;
      const start = (): number => Math.floor(random() * (bytes.length - length));
      return windowsAt(bytes, Array.from({ length: count }, start), length);
    },
  };
}
