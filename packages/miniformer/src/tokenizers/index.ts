/**
 * Tokenizers: bytes, characters, and those of published checkpoints.
 *
 * @module
 */

export {
  ByteTokenizer,
  type ByteTokenizerJSON,
  type ByteTokenizerOptions,
} from "./byte-tokenizer.js";
export {
  CharacterTokenizer,
  type CharacterTokenizerJSON,
  type CharacterTokenizerOptions,
} from "./character-tokenizer.js";
export {
  HuggingFaceTokenizer,
  type DecodeOptions,
  type EncodeOptions,
} from "./hugging-face-tokenizer.js";
export { loadTokenizer } from "./load-tokenizer.js";
export type { Tokenizer } from "./tokenizer.js";
