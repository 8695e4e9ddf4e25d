/** How the makers of a checkpoint want text to be generated. */

import type { GenerateOptions } from "../generation/options.js";
import { ConfigFile, type JsonObject } from "./config-file.js";

/** The options of `generate` that a checkpoint can speak of. */
type Suggested = Pick<
  GenerateOptions,
  | "maxNewTokens"
  | "doSample"
  | "temperature"
  | "topK"
  | "topP"
  | "minP"
  | "repetitionPenalty"
  | "numBeams"
  | "lengthPenalty"
  | "padTokenId"
>;

/**
 * What `generation_config.json` says, in the terms of `generate`'s options: pass it on as
 * `generate(model, prompt, { ...generationConfig, tokenizer })`, which checks it.
 */
export interface GenerationConfig extends Suggested {
  /** Tokens that end a sequence. */
  readonly stopTokens?: readonly number[];
}

/** Our names and theirs, of numbers. */
const numbers = [
  ["maxNewTokens", "max_new_tokens"],
  ["repetitionPenalty", "repetition_penalty"],
  ["numBeams", "num_beams"],
  ["lengthPenalty", "length_penalty"],
  ["temperature", "temperature"],
  ["topK", "top_k"],
  ["topP", "top_p"],
  ["minP", "min_p"],
] as const satisfies readonly (readonly [keyof Suggested, string])[];

/** Those that mean something only where tokens are drawn. */
const ofDrawing: readonly (keyof Suggested)[] = ["temperature", "topK", "topP", "minP"];

/** Reads `generation_config.json`; ids that the model does not have are left out. */
export function readGenerationConfig(json: JsonObject, vocabSize: number): GenerationConfig {
  const file = new ConfigFile(json, "generation_config.json");
  const doSample = file.flag("do_sample", false);
  const found = numbers.flatMap(([own, theirs]) => {
    const value = file.numberOr(null, theirs);
    // 0 stands for all tokens there.
    const isMeant = value !== null && !(own === "topK" && value === 0);
    return isMeant && (doSample || !ofDrawing.includes(own)) ? [[own, value] as const] : [];
  });
  const stopTokens = [file.ids("eos_token_id") ?? []].flat().filter((id) => id < vocabSize);
  const padTokenId = file.id("pad_token_id");
  return {
    ...Object.fromEntries(found),
    ...(doSample && { doSample }),
    ...(stopTokens.length > 0 && { stopTokens }),
    ...(padTokenId !== null && padTokenId < vocabSize && { padTokenId }),
  };
}

/** What `generation_config.json` says of it. */
export function writeGenerationConfig(config: GenerationConfig): JsonObject {
  const { doSample, stopTokens, padTokenId } = config;
  const found = numbers.flatMap(([own, theirs]) =>
    config[own] === undefined ? [] : [[theirs, config[own]] as const],
  );
  return {
    ...(doSample !== undefined && { do_sample: doSample }),
    ...Object.fromEntries(found),
    ...(stopTokens !== undefined && { eos_token_id: stopTokens }),
    ...(padTokenId !== undefined && { pad_token_id: padTokenId }),
  };
}
