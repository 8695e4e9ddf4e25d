/** Tokenizers of published checkpoints, computed by `@huggingface/tokenizers`. */

import { XError } from "@x/tensor";
import { check } from "@x/tensor/checks";
import { reasonOf } from "../runtime/reason.js";
import type { Tokenizer } from "./tokenizer.js";

/** What is used of a tokenizer of `@huggingface/tokenizers`. */
interface ForeignTokenizer {
  encode(
    text: string,
    options?: { add_special_tokens?: boolean },
  ): { readonly ids: readonly (number | undefined)[]; readonly tokens: readonly string[] };
  decode(
    ids: number[],
    options?: { skip_special_tokens?: boolean; clean_up_tokenization_spaces?: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): Map<string, number>;
}

/** What is used of the package itself. */
interface ForeignLibrary {
  readonly Tokenizer: new (json: JsonObject, config: JsonObject) => ForeignTokenizer;
}

/** An object of JSON. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The names of special tokens in `tokenizer_config.json`. */
const roles = ["bos", "eos", "pad", "unk", "cls", "sep", "mask"] as const;

/** Options of `encode` of {@link HuggingFaceTokenizer}. */
export interface EncodeOptions {
  /** Whether the tokens are added that the model expects around a text. Default true. */
  readonly addSpecialTokens?: boolean;
}

/** Options of `decode` of {@link HuggingFaceTokenizer}. */
export interface DecodeOptions {
  /** Whether special tokens are left out. Default false. */
  readonly skipSpecialTokens?: boolean;
}

/** A tokenizer of a published checkpoint; {@link loadTokenizer} makes it. */
export class HuggingFaceTokenizer implements Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The ids of special tokens: by their text, and by `bos`, `eos`, `pad`, `unk`, … where known. */
  readonly specialTokens: ReadonlyMap<string, number>;
  private readonly tokenizer: ForeignTokenizer;
  private readonly json: JsonObject;
  private readonly config: JsonObject;

  /** Use {@link loadTokenizer}. */
  constructor(tokenizer: ForeignTokenizer, json: JsonObject, config: JsonObject) {
    this.tokenizer = tokenizer;
    this.json = json;
    this.config = config;
    let largest = -1;
    for (const id of tokenizer.get_vocab().values()) largest = Math.max(largest, id);
    this.vocabSize = largest + 1;
    this.specialTokens = specialTokensOf(tokenizer, json, config);
  }

  /**
   * The ids of the tokens of a text.
   *
   * @throws XError `argument` if a part of the text is no token and the vocabulary has none for that
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    const { addSpecialTokens = true } = options;
    const { ids, tokens } = this.tokenizer.encode(text, { add_special_tokens: addSpecialTokens });
    return ids.map((id, i) => {
      check(
        id !== undefined,
        "argument",
        () =>
          `Tokenizer: every part of the text must be in the vocabulary, got ${JSON.stringify(tokens[i])}. Leave it out of the text.`,
      );
      return id;
    });
  }

  /** The text of tokens. Ids that the vocabulary does not have are left out. */
  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const known = ids.filter((id) => this.tokenizer.id_to_token(id) !== undefined);
    if (known.length === 0) return "";
    return this.tokenizer.decode(known, {
      skip_special_tokens: options.skipSpecialTokens ?? false,
      clean_up_tokenization_spaces: this.config.clean_up_tokenization_spaces === true,
    });
  }

  /** What `tokenizer.json` said. */
  toJSON(): JsonObject {
    return this.json;
  }

  /** What `tokenizer_config.json` said. */
  configJSON(): JsonObject {
    return this.config;
  }
}

function specialTokensOf(
  tokenizer: ForeignTokenizer,
  json: JsonObject,
  config: JsonObject,
): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const token of Array.isArray(json.added_tokens) ? (json.added_tokens as unknown[]) : []) {
    const { content, id, special } = (token ?? {}) as JsonObject;
    if (special === true && typeof content === "string" && typeof id === "number") {
      found.set(content, id);
    }
  }
  for (const role of roles) {
    // Written as the text of the token, or as an object with it.
    const given = config[`${role}_token`];
    const content =
      typeof given === "object" && given !== null ? (given as JsonObject).content : given;
    const id = typeof content === "string" ? tokenizer.token_to_id(content) : undefined;
    if (id !== undefined) found.set(role, id);
  }
  return found;
}

/** Makes the tokenizer that `tokenizer.json` and `tokenizer_config.json` describe. */
export async function loadHuggingFaceTokenizer(
  json: JsonObject,
  config: JsonObject,
): Promise<HuggingFaceTokenizer> {
  let library: ForeignLibrary;
  try {
    // Its declarations import each other in a way that this module system does not resolve.
    library = await import("@huggingface/tokenizers");
  } catch (error) {
    throw new XError(
      "unsupported",
      `loadTokenizer: the package @huggingface/tokenizers must be installed for tokenizers of published checkpoints, got ${JSON.stringify(reasonOf(error))}. Install it, or pass tokenizer: false to fromPretrained.`,
      { cause: error },
    );
  }
  try {
    return new HuggingFaceTokenizer(new library.Tokenizer(json, config), json, config);
  } catch (error) {
    throw new XError(
      "checkpoint",
      `loadTokenizer: the tokenizer must be one that @huggingface/tokenizers knows, got ${JSON.stringify(reasonOf(error))}. Check tokenizer.json, or pass tokenizer: false to fromPretrained.`,
      { cause: error },
    );
  }
}
