/**
 * A small, complete transformer: its configuration, its models and generation.
 *
 * @module
 */

export type { LanguageModel, LanguageModelCall, ModelState } from "./model/language-model.js";
