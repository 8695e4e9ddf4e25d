/** Tokens that were drawn. */

import { arange, fromData, type Tensor, where, zeros } from "@x/tensor";
import type { LinearAttentionTransformerLM } from "../transformer/language-model.js";

/** Collects tokens in memory of fixed size, so that no step differs from the others. */
export class GeneratedTokens {
  /** All that were drawn, and zeros: int32 [batch, capacity]. */
  readonly tokens: Tensor;
  /** How many were drawn for each sequence. */
  length = 0;
  /** How many of them belong to each sequence, its end included; infinite before it. */
  readonly #lengths: number[];
  readonly #isOriginal: boolean;

  constructor({ inner }: LinearAttentionTransformerLM, batch: number, capacity: number) {
    this.tokens = zeros([batch, capacity], { dtype: "int32", device: inner.device });
    this.#lengths = new Array<number>(batch).fill(Infinity);
    this.#isOriginal = inner.compat !== null;
  }

  /** Adds a token for each sequence, int32 [batch]. */
  add(token: Tensor): void {
    this.tokens.assign(this.tokens.dynamicUpdate(1, token.unsqueeze(1), this.length));
    this.length++;
  }

  /** Whether all sequences have ended, the last tokens, which were computed, considered. */
  async haveEnded(token: Tensor, eosToken: number): Promise<boolean> {
    const numbers = await token.data();
    numbers.forEach((number: number, sequence: number) => {
      if (number !== eosToken) return;
      this.#lengths[sequence] = Math.min(this.#lengths[sequence]!, this.length);
    });
    // The original waits for a step in which all sequences end at once.
    if (this.#isOriginal) return numbers.every((number: number) => number === eosToken);
    return this.#lengths.every(Number.isFinite);
  }

  /** The tokens, with `padValue` after the end of each sequence: int32 [batch, length]. */
  result(padValue: number): Tensor {
    const tokens = this.tokens.narrow(1, 0, this.length);
    const lengths = this.#lengths.map((length) => Math.min(length, this.length));
    if (this.#isOriginal || lengths.every((length) => length === this.length)) return tokens;
    const places = arange(this.length, { dtype: "int32" });
    const isWithin = places.lt(fromData(Int32Array.from(lengths), [lengths.length, 1]));
    return where(isWithin, tokens, padValue);
  }
}
