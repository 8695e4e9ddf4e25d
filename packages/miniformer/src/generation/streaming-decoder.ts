/** Text from tokens as they come. */

import type { Tokenizer } from "../tokenizers/tokenizer.js";

/** What tokenizers give for bytes that are no character, or not yet. */
const replacement = "\ufffd";

/** Bytes of a character that has begun: at most these, and at most as many tokens. */
const partialLength = 3;

/** Tokens that are decoded again with the next ones: enough for the whole of the last character. */
const contextLength = 8;

/** The window of tokens starts anew from this length on. */
const windowLength = 32;

/**
 * Turns tokens into text, one by one, for any tokenizer: characters are handed over when all their
 * bytes are there, and the pieces together are the text of all tokens. Each piece is decoded together
 * with the tokens before it, since the text of a token, such as its space, may depend on them.
 *
 * @example
 * ```ts
 * const bytes = {
 *   encode: (text: string) => [...new TextEncoder().encode(text)],
 *   decode: (ids: readonly number[]) => new TextDecoder().decode(Uint8Array.from(ids)),
 *   vocabSize: 256,
 * };
 * const decoder = new StreamingDecoder(bytes);
 * console.log(bytes.encode("né").map((id) => decoder.push(id))); // → [ 'n', '', 'é' ]
 * console.log(decoder.end() === ""); // → true
 * ```
 */
export class StreamingDecoder {
  private readonly tokenizer: Tokenizer;
  private window: number[];
  /** How much of the window's text was handed over, or came before the first token. */
  private done: number;
  /** Tokens since anything was handed over. */
  private waiting = 0;

  /** @param before the tokens before the first, such as a prompt; of their text only a character that was not complete is handed over */
  constructor(tokenizer: Tokenizer, before: readonly number[] = []) {
    this.tokenizer = tokenizer;
    this.window = before.slice(-contextLength);
    this.done = this.finished(this.decode()).length;
  }

  /** The characters that are complete with this token: often some, perhaps none. */
  push(id: number): string {
    this.window.push(id);
    this.waiting++;
    const text = this.decode();
    const finished = this.finished(text);
    const piece = finished.slice(this.done);
    if (piece !== "") this.waiting = 0;
    this.done = Math.max(this.done, finished.length);
    if (this.window.length >= windowLength && finished.length === text.length) {
      this.window = this.window.slice(-contextLength);
      this.done = this.decode().length;
    }
    return piece;
  }

  /** What is left: a character that was never completed, as the tokenizer shows it. */
  end(): string {
    const text = this.decode();
    const piece = text.slice(this.done);
    this.done = text.length;
    return piece;
  }

  private decode(): string {
    return this.window.length === 0 ? "" : this.tokenizer.decode(this.window);
  }

  /** The text without a character at its end that may not be complete. */
  private finished(text: string): string {
    let end = text.length;
    while (end > 0 && text[end - 1] === replacement) end--;
    // After more tokens than a character has bytes, what is still not text will never be. Before,
    // a long run means little: some tokenizers show all bytes so while the last are missing.
    const isInvalid = text.length - end > partialLength && this.waiting > partialLength;
    return text.slice(0, isInvalid ? text.length - partialLength : end);
  }
}
