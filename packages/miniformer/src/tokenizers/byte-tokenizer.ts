/** Every byte of a text is a token. */

import { checkId, numbered } from "./special-tokens.js";
import type { Tokenizer } from "./tokenizer.js";

/** Options of {@link ByteTokenizer}. */
export interface ByteTokenizerOptions {
  /** Names of tokens that stand for no text; they get the ids from 256 on. Default none. */
  readonly specialTokens?: readonly string[];
}

/** What `tokenizer.json` says of a {@link ByteTokenizer}. */
export interface ByteTokenizerJSON {
  /** Marks the kind of tokenizer. */
  readonly type: "byte";
  /** The names of the special tokens in the order of their ids. */
  readonly specialTokens: readonly string[];
}

/**
 * A tokenizer without a vocabulary: each byte of the text in UTF-8 is a token, with its number as
 * its id. Takes any text.
 *
 * @example
 * ```ts
 * import { ByteTokenizer } from "@x/miniformer/tokenizers";
 *
 * const tokenizer = new ByteTokenizer({ specialTokens: ["end"] });
 * const ids = tokenizer.encode("né");
 * console.log(ids, tokenizer.vocabSize); // → [ 110, 195, 169 ] 257
 * console.log(tokenizer.decode([...ids, tokenizer.specialTokens.get("end")!])); // → né
 * ```
 */
export class ByteTokenizer implements Tokenizer {
  /** 256, and one for each special token. */
  readonly vocabSize: number;
  /** The ids of special tokens by their names. */
  readonly specialTokens: ReadonlyMap<string, number>;

  /** @throws XError `argument` if two special tokens have the same name */
  constructor(options: ByteTokenizerOptions = {}) {
    const { specialTokens = [] } = options;
    this.specialTokens = numbered("ByteTokenizer", specialTokens, 256);
    this.vocabSize = 256 + specialTokens.length;
  }

  /** The bytes of the text in UTF-8. */
  encode(text: string): number[] {
    return [...new TextEncoder().encode(text)];
  }

  /**
   * The text of bytes in UTF-8, special tokens left out. Bytes that are none become "�".
   *
   * @throws XError `argument` if an id is not below `vocabSize`
   */
  decode(ids: readonly number[]): string {
    for (const id of ids) checkId("ByteTokenizer", id, this.vocabSize);
    const bytes = Uint8Array.from(ids.filter((id) => id < 256));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }

  /** What `loadTokenizer` makes it of. */
  toJSON(): ByteTokenizerJSON {
    return { type: "byte", specialTokens: [...this.specialTokens.keys()] };
  }
}
