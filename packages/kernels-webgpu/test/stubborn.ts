/** A tuner for tests: it knows what to choose. */

import type { Candidate } from "../src/native.js";
import { Tuner } from "../src/runtime/tuner.js";

/** Always takes the candidate of this number. */
export class Stubborn extends Tuner {
  readonly taken: string[] = [];
  readonly #number: number;

  constructor(number: number) {
    super("", { load: () => Promise.resolve(null), save: () => Promise.resolve() });
    this.#number = number;
  }

  override find<T extends Candidate>(_key: string, candidates: readonly T[]): T | undefined {
    const taken = candidates[this.#number];
    if (taken !== undefined) this.taken.push(taken.name);
    return taken ?? candidates[0];
  }
}
