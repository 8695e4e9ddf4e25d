/** Every character of a text is a token. */

import { check } from "@x/tensor/checks";
import { checkId, numbered } from "./special-tokens.js";
import type { Tokenizer } from "./tokenizer.js";

/** Options of {@link CharacterTokenizer}. */
export interface CharacterTokenizerOptions {
  /**
   * The character that stands for all that are not in the vocabulary; `null` refuses them. Default
   * `"�"`.
   */
  readonly unknown?: string | null;
  /** Names of tokens that stand for no text; they get the ids after the characters. Default none. */
  readonly specialTokens?: readonly string[];
}

/** What `tokenizer.json` says of a {@link CharacterTokenizer}. */
export interface CharacterTokenizerJSON {
  /** Marks the kind of tokenizer. */
  readonly type: "character";
  /** The characters in the order of their ids. */
  readonly characters: string;
  /** The character that stands for all others, or `null`. */
  readonly unknown: string | null;
  /** The names of the special tokens in the order of their ids. */
  readonly specialTokens: readonly string[];
}

/**
 * A tokenizer whose tokens are the characters (code points) of a text, numbered in their order.
 *
 * @example
 * ```ts
 * import { CharacterTokenizer } from "@x/miniformer/tokenizers";
 *
 * const tokenizer = CharacterTokenizer.fromText("to be or not to be");
 * console.log(tokenizer.vocabSize, tokenizer.encode("robot")); // → 8 [ 5, 4, 1, 4, 6 ]
 * console.log(tokenizer.decode(tokenizer.encode("note!"))); // → note�
 * ```
 */
export class CharacterTokenizer implements Tokenizer {
  /** The characters, each at the place of its id. */
  readonly characters: readonly string[];
  /** The character that stands for all that are not in the vocabulary, or `null`. */
  readonly unknown: string | null;
  /** As many as there are characters and special tokens. */
  readonly vocabSize: number;
  /** The ids of special tokens by their names. */
  readonly specialTokens: ReadonlyMap<string, number>;
  private readonly ids: ReadonlyMap<string, number>;

  /**
   * @param characters the characters of the vocabulary, in the order of their ids; `unknown` is
   * added at the end if it is not among them
   * @throws XError `argument` if a character comes twice or is none
   */
  constructor(characters: Iterable<string>, options: CharacterTokenizerOptions = {}) {
    const { unknown = "�", specialTokens = [] } = options;
    const all = [...characters];
    if (unknown !== null && !all.includes(unknown)) all.push(unknown);
    const ids = new Map(all.map((character, id) => [character, id]));
    const wrong = all.find(
      (character, id) => [...character].length !== 1 || ids.get(character) !== id,
    );
    check(
      wrong === undefined,
      "argument",
      () =>
        `CharacterTokenizer: characters must be single and different ones, got ${JSON.stringify(wrong)}${ids.has(wrong!) && [...wrong!].length === 1 ? " twice" : ""}. Use CharacterTokenizer.fromText to find those of a text.`,
    );
    this.characters = all;
    this.unknown = unknown;
    this.ids = ids;
    this.specialTokens = numbered("CharacterTokenizer", specialTokens, all.length);
    this.vocabSize = all.length + specialTokens.length;
  }

  /** A tokenizer for the characters of a text, in the order of their code points. */
  static fromText(text: string, options: CharacterTokenizerOptions = {}): CharacterTokenizer {
    const characters = [...new Set(text)];
    characters.sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
    return new CharacterTokenizer(characters, options);
  }

  /**
   * The ids of the characters of a text.
   *
   * @throws XError `argument` if a character is not in the vocabulary and `unknown` is `null`
   */
  encode(text: string): number[] {
    return Array.from(text, (character) => {
      const id = this.ids.get(character) ?? this.ids.get(this.unknown ?? "");
      check(
        id !== undefined,
        "argument",
        () =>
          `CharacterTokenizer: every character must be in the vocabulary, got ${JSON.stringify(character)}. Make the tokenizer of more text, or give it an unknown character.`,
      );
      return id;
    });
  }

  /**
   * The characters of ids, special tokens left out.
   *
   * @throws XError `argument` if an id is not below `vocabSize`
   */
  decode(ids: readonly number[]): string {
    return ids
      .map((id) => {
        checkId("CharacterTokenizer", id, this.vocabSize);
        return this.characters[id] ?? "";
      })
      .join("");
  }

  /** What `loadTokenizer` makes it of. */
  toJSON(): CharacterTokenizerJSON {
    return {
      type: "character",
      characters: this.characters.join(""),
      unknown: this.unknown,
      specialTokens: [...this.specialTokens.keys()],
    };
  }
}
