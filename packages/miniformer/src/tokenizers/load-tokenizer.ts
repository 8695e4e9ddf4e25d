/** Tokenizers from what `tokenizer.json` says. */

import { check } from "@x/tensor/checks";
import { ByteTokenizer } from "./byte-tokenizer.js";
import { CharacterTokenizer } from "./character-tokenizer.js";
import { loadHuggingFaceTokenizer, type JsonObject } from "./hugging-face-tokenizer.js";
import type { Tokenizer } from "./tokenizer.js";

function objectOf(name: string, json: unknown): JsonObject {
  let parsed = json;
  try {
    if (typeof json === "string") parsed = JSON.parse(json) as unknown;
  } catch {
    parsed = undefined;
  }
  check(
    typeof parsed === "object" && parsed !== null && !Array.isArray(parsed),
    "checkpoint",
    () =>
      `loadTokenizer: ${name} must be an object of JSON, got ${typeof json === "string" ? "other text" : String(json)}. Fetch the file again.`,
  );
  return parsed as JsonObject;
}

const isText = (value: unknown): value is string => typeof value === "string";

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isText);
}

/**
 * The tokenizer that a `tokenizer.json` describes: that of a published checkpoint, for which the
 * package `@huggingface/tokenizers` must be installed, or one of this package.
 *
 * @param json what `tokenizer.json` says, as text or parsed
 * @param config what `tokenizer_config.json` says, if there is one
 * @throws XError `checkpoint` if it describes no tokenizer; `unsupported` if the package for it is
 * not installed
 * @example
 * ```ts
 * import { CharacterTokenizer, loadTokenizer } from "@x/miniformer/tokenizers";
 *
 * const saved = JSON.stringify(CharacterTokenizer.fromText("abc"));
 * const tokenizer = await loadTokenizer(saved);
 * console.log(tokenizer.encode("cab")); // → [ 2, 0, 1 ]
 * ```
 */
export async function loadTokenizer(json: unknown, config: unknown = {}): Promise<Tokenizer> {
  const object = objectOf("tokenizer.json", json);
  const { type, specialTokens = [] } = object;
  if (type === "byte" && isTexts(specialTokens)) return new ByteTokenizer({ specialTokens });
  if (type === "character" && isTexts(specialTokens) && isText(object.characters)) {
    const unknown = isText(object.unknown) ? object.unknown : null;
    return new CharacterTokenizer(object.characters, { unknown, specialTokens });
  }
  check(
    typeof object.model === "object",
    "checkpoint",
    () =>
      `loadTokenizer: tokenizer.json must have a "model", or the "type" of a tokenizer of this package, got ${JSON.stringify(type ?? null)}. Fetch or save the file again.`,
  );
  return loadHuggingFaceTokenizer(object, objectOf("tokenizer_config.json", config));
}
