/** Text and tokens from language models. */

import { check } from "@x/tensor/checks";
import type { LanguageModel } from "../model/language-model.js";
import type { EndReason } from "./generated-row.js";
import { vocabularyOf } from "./vocabulary.js";
import { GenerationRun } from "./generation-run.js";
import { readOptions, type GenerateOptions, type Settings } from "./options.js";
import { tokensOfPrompts, type Prompt } from "./prompts.js";

/** A token for each sequence. */
export interface GenerationStep {
  /** The token of each sequence; `padTokenId` for those that have ended. */
  readonly tokens: readonly number[];
  /** The text that this step brought to the first sequence; `""` without a tokenizer. */
  readonly text: string;
  /** The text that this step brought to each sequence. */
  readonly texts: readonly string[];
  /** Whether each sequence has ended. */
  readonly ended: readonly boolean[];
}

/** A sequence that was generated. */
export interface GeneratedSequence {
  /** Its tokens without the prompt, with the stop token if one ended it. */
  readonly tokens: number[];
  /** Their text, without what ended it; `""` without a tokenizer. */
  readonly text: string;
  /** Why it ended. */
  readonly reason: EndReason;
  /** The score of beam search, else `null`. */
  readonly score: number | null;
}

/**
 * Goes on from a prompt with a language model: token by token for `for await`, or all at once with
 * {@link Generation.text}, {@link Generation.tokens} and {@link Generation.collect}.
 *
 * The likeliest token is taken each time (greedy), unless an option asks for drawing at random
 * (`temperature`, `topK`, `topP`, `minP`) or for beam search (`numBeams`). Prompts of several
 * sequences may have different lengths; each gives what it gives alone. (With attention that cuts
 * sequences at fixed places, such as thinformer's, each length has a batch of its own for that; only the
 * targets of an encoder–decoder cannot be parted, and give nearly what they give alone.)
 *
 * A step costs the same at any length, as far as the model's attention does, and compiles nothing after
 * the first ones. Tokens are chosen on the device, and only their numbers are read.
 *
 * @example Tokens, one by one
 * ```ts
 * const model = new Transformer(TransformerConfig.tiny({ vocabSize: 50, dModel: 16 }));
 * const options = { maxNewTokens: 4, temperature: 0.8, topP: 0.9, seed: 1 };
 * const seen: number[] = [];
 * for await (const { tokens } of generate(model, [7, 8, 9], options)) seen.push(tokens[0]!);
 *
 * const [again] = await generate(model, [7, 8, 9], options).tokens();
 * console.log(seen.length, seen.join() === again!.join()); // → 4 true
 * ```
 *
 * @example Text
 * ```ts
 * const tokenizer = {
 *   encode: (text: string) => [...new TextEncoder().encode(text)],
 *   decode: (ids: readonly number[]) => new TextDecoder().decode(Uint8Array.from(ids)),
 *   vocabSize: 256,
 * };
 * const model = new Transformer(TransformerConfig.tiny({ vocabSize: 256, dModel: 16 }));
 * const prompts = ["Once upon a time", "Once"];
 * const texts = await generate(model, prompts, { tokenizer, maxNewTokens: 8 }).texts();
 * const alone = await generate(model, "Once", { tokenizer, maxNewTokens: 8 }).text();
 * console.log(texts.length, texts[1] === alone); // → 2 true
 * ```
 *
 * @example The best of several beams
 * ```ts
 * const model = new Transformer(TransformerConfig.tiny({ vocabSize: 50, dModel: 16 }));
 * const options = { maxNewTokens: 6, numBeams: 4, numReturnSequences: 2 };
 * const [best, second] = await generate(model, [7, 8, 9], options).collect();
 * console.log(best!.tokens.length, best!.score! >= second!.score!); // → 6 true
 * ```
 *
 * @throws XError `argument` if an option is out of its range, the model does not predict tokens, or a
 * prompt is empty or not of its vocabulary; `shape` if a tensor does not fit
 * @see Holtzman et al.: The Curious Case of Neural Text Degeneration (2020), for `topP`; Nguyen et al.:
 * Turning Up the Heat: Min-p Sampling (2024); Keskar et al.: CTRL (2019), for the repetition penalty;
 * Vijayakumar et al.: Diverse Beam Search (2016). Where they leave something open, it is done as in
 * Hugging Face's library transformers.
 */
export function generate(
  model: LanguageModel,
  prompt: Prompt,
  options: GenerateOptions = {},
): Generation {
  return new Generation(model, prompt, options);
}

/** What {@link generate} gives: nothing is computed before it is asked for, and each time anew. */
export class Generation implements AsyncIterable<GenerationStep> {
  private readonly model: LanguageModel;
  private readonly prompts: ReturnType<typeof tokensOfPrompts>;
  private readonly readSettings: () => Settings;

  /** Use {@link generate}. */
  constructor(model: LanguageModel, prompt: Prompt, options: GenerateOptions) {
    const facts = { config: model.config, vocabSize: vocabularyOf(model) };
    const { tokenizer } = readOptions(facts, options);
    this.model = model;
    // Read again each time: a seed gives the same tokens each time.
    this.readSettings = () => readOptions(facts, options);
    this.prompts = tokensOfPrompts(prompt, facts, tokenizer);
  }

  /** The tokens of all sequences, step by step. Beam search knows them only at its end. */
  [Symbol.asyncIterator](): AsyncGenerator<GenerationStep, GeneratedSequence[], undefined> {
    return this.run();
  }

  /** All sequences at their end, in the order of the prompts. */
  async collect(): Promise<GeneratedSequence[]> {
    const steps = this.run();
    for (;;) {
      const step = await steps.next();
      if (step.done === true) return step.value;
    }
  }

  /** The tokens that were generated, a list for each sequence. */
  async tokens(): Promise<number[][]> {
    return (await this.collect()).map(({ tokens }) => tokens);
  }

  /**
   * The text that was generated, of the first sequence.
   *
   * @throws XError `argument` if there is no tokenizer
   */
  async text(): Promise<string> {
    return (await this.texts())[0]!;
  }

  /**
   * The text that was generated for each sequence.
   *
   * @throws XError `argument` if there is no tokenizer
   */
  async texts(): Promise<string[]> {
    check(
      this.readSettings().tokenizer !== null,
      "argument",
      () => "generate: text needs a tokenizer, got none. Pass tokenizer, or ask for tokens().",
    );
    return (await this.collect()).map(({ text }) => text);
  }

  private async *run(): AsyncGenerator<GenerationStep, GeneratedSequence[], undefined> {
    const settings = this.readSettings();
    const { signal, padTokenId, beams } = settings;
    signal?.throwIfAborted();
    const run = new GenerationRun(this.model, await this.prompts(), settings);
    try {
      const found = beams === null ? null : await run.search(beams);
      const rows = run.rows(found);
      for (let step = 0; rows.some(({ reason }) => reason === null); step++) {
        signal?.throwIfAborted();
        const given = found?.map(({ tokens }) => tokens[step] ?? padTokenId);
        const chosen = given ?? (await run.draw(rows, step));
        const ended = rows.map(({ reason }) => reason !== null);
        const texts = rows.map((row, i) => {
          const length = found?.[i]!.tokens.length ?? run.maxNewTokens;
          return row.push(chosen[i]!, step + 1 === length);
        });
        yield {
          tokens: rows.map((_, i) => (ended[i]! ? padTokenId : chosen[i]!)),
          text: texts[0]!,
          texts,
          ended: rows.map(({ reason }) => reason !== null),
        };
      }
      return rows.map(({ tokens, text, reason }, i) => {
        return { tokens, text, reason: reason!, score: found?.[i]!.score ?? null };
      });
    } finally {
      run.dispose();
    }
  }
}
