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

/** What a token takes after so many others. */
export interface TokenTime {
  /** How many tokens came before. */
  readonly position: number;
  /** Median milliseconds; `null` where the model ends before. */
  readonly milliseconds: number | null;
}

/** Tokens that are timed, after those that compile. */
const timed = 16;
const warmUp = 8;

/** How long a token takes at some positions. */
export async function timeTokens(
  model: LanguageModel,
  positions: readonly number[],
  interrupt: AbortSignal,
): Promise<TokenTime[]> {
  const { vocabSize, positions: kind, maxSeqLen } = model.config;
  const found: TokenTime[] = [];
  for (const position of positions) {
    const isBeyond = kind === "learned" && position + timed > maxSeqLen;
    if (isBeyond || interrupt.aborted) {
      found.push({ position, milliseconds: null });
      continue;
    }
    const prompt = Array.from({ length: position - warmUp }, (_, i) => (i * 31) % vocabSize!);
    const times: number[] = [];
    const options = { maxNewTokens: warmUp + timed, doSample: true, seed: 0, stopTokens: null };
    let last = performance.now();
    for await (const _ of generate(model, prompt, options)) {
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    const steady = times.slice(warmUp).sort((a, b) => a - b);
    found.push({ position, milliseconds: steady[steady.length >> 1]! });
  }
  return found;
}
