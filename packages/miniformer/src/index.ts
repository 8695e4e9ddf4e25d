/**
 * A small, complete transformer: its configuration, its models and generation.
 *
 * @module
 */

export type { LanguageModel, LanguageModelCall, ModelState } from "./model/language-model.js";
export {
  generate,
  Generation,
  type GeneratedSequence,
  type GenerationStep,
} from "./generation/generate.js";
export type { EndReason } from "./generation/generated-row.js";
export type { GenerationModel } from "./generation/generation-model.js";
export type { GenerateOptions, LogitsContext, LogitsProcessor } from "./generation/options.js";
export type { Prompt } from "./generation/prompts.js";
export { StreamingDecoder } from "./generation/streaming-decoder.js";
export type { Tokenizer } from "./tokenizers/tokenizer.js";
