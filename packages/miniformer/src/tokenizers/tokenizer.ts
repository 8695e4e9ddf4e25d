/** What turns text into tokens and back. */

/** Turns text into the numbers of its tokens, and these into text. */
export interface Tokenizer {
  /** The ids of the tokens of a text. */
  encode(text: string): number[];
  /** The text of tokens; what is not text yet, such as half a character, becomes "�". */
  decode(ids: readonly number[]): string;
  /** Ids are below this number. */
  readonly vocabSize: number;
  /** The ids of tokens that stand for no text, such as the end, by their names. */
  readonly specialTokens?: ReadonlyMap<string, number>;
  /** What `tokenizer.json` says of it, for `savePretrained`; `loadTokenizer` makes it again. */
  toJSON?(): unknown;
}
