/** Which tokens a text is made of. */

import { readFile } from "node:fs/promises";
import { XError } from "@x/tensor";
import { ByteTokenizer } from "../tokenizers/byte-tokenizer.js";
import { CharacterTokenizer } from "../tokenizers/character-tokenizer.js";
import { loadTokenizer } from "../tokenizers/load-tokenizer.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { reasonOf } from "../runtime/reason.js";

/** Names of the tokens that this program adds to tokenizers of its own. */
export const marks = { end: "<end>", begin: "<begin>" } as const;

/** What published tokenizers call such tokens. */
const published = {
  end: ["<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "<|im_end|>", "[SEP]"],
  begin: ["<s>", "<bos>", "<|begin_of_text|>", "<|im_start|>", "<|endoftext|>", "[CLS]"],
} as const;

/**
 * The tokenizer for `--tokenizer`: `byte`, `character` (of all texts), or a `tokenizer.json`.
 *
 * @throws XError `argument` if the file cannot be read; `checkpoint` if it describes no tokenizer
 */
export async function makeTokenizer(
  choice: string,
  texts: () => string,
  specialTokens: readonly string[],
): Promise<Tokenizer> {
  if (choice === "byte") return new ByteTokenizer({ specialTokens });
  if (choice === "character") return CharacterTokenizer.fromText(texts(), { specialTokens });
  let json: string;
  try {
    json = await readFile(choice, "utf8");
  } catch (error) {
    throw new XError(
      "argument",
      `--tokenizer: it must be byte, character or a tokenizer.json that can be read, got "${choice}" (${reasonOf(error)}). Name one of these.`,
      { cause: error },
    );
  }
  return loadTokenizer(json);
}

/**
 * The tokens of bytes that are a text.
 *
 * @throws XError `argument` if they are not UTF-8, where the tokenizer needs text
 */
export function tokensOf(tokenizer: Tokenizer, bytes: Uint8Array): Uint8Array | Int32Array {
  if (tokenizer instanceof ByteTokenizer) return bytes;
  return Int32Array.from(tokenizer.encode(textOf(bytes)));
}

/**
 * The text of bytes.
 *
 * @throws XError `argument` if they are not UTF-8
 */
export function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new XError(
      "argument",
      "--data: the text must be UTF-8, got bytes that are not. Convert the file, or use --tokenizer byte.",
      { cause: error },
    );
  }
}

/** How many bytes a token stands for: for each, or in the mean where that cannot be said. */
export function bytesPerToken(
  tokenizer: Tokenizer,
  bytes: number,
  tokens: number,
): number | ((token: number) => number) {
  if (tokenizer instanceof ByteTokenizer) return (token) => (token < 256 ? 1 : 0);
  if (tokenizer instanceof CharacterTokenizer) {
    const sizes = tokenizer.characters.map((character) => Buffer.byteLength(character));
    return (token) => sizes[token] ?? 0;
  }
  return bytes / Math.max(1, tokens);
}

/** The token that ends a text or begins one; `null` if the tokenizer has none that is known. */
export function markOf(tokenizer: Tokenizer, mark: "end" | "begin"): number | null {
  for (const name of [marks[mark], ...published[mark]]) {
    const id = tokenizer.specialTokens?.get(name);
    if (id !== undefined) return id;
  }
  return null;
}

/**
 * The token that ends a text or begins one.
 *
 * @throws XError `argument` if the tokenizer has none that is known
 */
export function neededMark(tokenizer: Tokenizer, mark: "end" | "begin"): number {
  const id = markOf(tokenizer, mark);
  if (id !== null) return id;
  throw new XError(
    "argument",
    `--tokenizer: the task needs a token for the ${mark} of a text, got a tokenizer with ${[...(tokenizer.specialTokens?.keys() ?? [])].join(", ") || "no special tokens"}. Take another, such as byte.`,
  );
}
