/** Text as a model writes it. */

import { generate } from "../generation/generate.js";
import type { GenerateOptions } from "../generation/options.js";
import type { LanguageModel } from "../model/language-model.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { Output } from "./output.js";

/**
 * Lets a model go on from a prompt, handing over text as it comes. Ctrl-C ends it early, without an
 * error.
 */
export async function writeOn(
  model: LanguageModel,
  prompt: string | readonly number[],
  options: GenerateOptions & { readonly tokenizer: Tokenizer },
  output: Output,
  interrupt: AbortSignal,
): Promise<void> {
  try {
    for await (const { text } of generate(model, prompt, { ...options, signal: interrupt })) {
      output.write(text);
    }
  } catch (error) {
    if (!interrupt.aborted) throw error;
  }
}
