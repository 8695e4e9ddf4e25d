/** What may be asked of generation, and its checks. */

import type { Tensor } from "@x/tensor";
import {
  check,
  checkNumbers,
  count,
  finite,
  nonNegative,
  positive,
  probability,
  type Rule,
} from "@x/tensor/checks";
import { Generator, getDefaultGenerator } from "@x/tensor/random";
import type { TransformerConfig } from "../config/transformer-config.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { Sampling } from "./sampling.js";

/** What a {@link LogitsProcessor} is told besides the logits. */
export interface LogitsContext {
  /** The tokens of each row so far, the prompt included. */
  readonly sequences: readonly (readonly number[])[];
  /** How many tokens were generated before this one. */
  readonly step: number;
}

/**
 * Changes what may come next: takes logits `[rows, vocabSize]` and gives such logits, with −∞ for what
 * must not come. In beam search each beam is a row, and the logits are logarithms of probabilities.
 *
 * It is called at every step. So that none of them compiles anything, put what changes from step to
 * step into tensors or numbers that the operations take, not into shapes.
 *
 * @example
 * ```ts
 * const isOdd = tensor(Array.from({ length: 50 }, (_, token) => token % 2 === 1));
 * const evenOnly: LogitsProcessor = (logits) => logits.maskedFill(isOdd, -Infinity);
 *
 * const model = new Transformer(TransformerConfig.tiny({ vocabSize: 50, dModel: 16 }));
 * const options = { maxNewTokens: 5, logitsProcessors: [evenOnly] };
 * const [tokens] = await generate(model, [2, 4], options).tokens();
 * console.log(tokens!.every((token) => token % 2 === 0)); // → true
 * ```
 */
export type LogitsProcessor = (logits: Tensor, context: LogitsContext) => Tensor;

/** Options of {@link generate}. */
export interface GenerateOptions {
  /** How many tokens are generated at most. Default 256, or what fits into `maxSeqLen`. */
  readonly maxNewTokens?: number;
  /**
   * Whether tokens are drawn at random; else the likeliest is taken each time. Default: whether one of
   * `temperature`, `topK`, `topP` and `minP` is given.
   */
  readonly doSample?: boolean;
  /** Logits are divided by it: below 1 unlikely tokens get rarer; 0 takes the likeliest. Default 1. */
  readonly temperature?: number;
  /** Only so many of the likeliest tokens are drawn from. Default: all. */
  readonly topK?: number;
  /** Only the fewest tokens that together have this probability are drawn from. Default 1: all. */
  readonly topP?: number;
  /** Only tokens at least this many times as likely as the likeliest are drawn from. Default 0: all. */
  readonly minP?: number;
  /**
   * Above 1, tokens that came before, in the prompt too, become less likely: their logits are divided by
   * it where positive and multiplied where negative. Default 1.
   */
  readonly repetitionPenalty?: number;
  /** Functions that change the logits, after the repetition penalty and before the filters. */
  readonly logitsProcessors?: readonly LogitsProcessor[];
  /** Tokens that end a sequence. Default: the model's `eosTokenId`; `null` for none. */
  readonly stopTokens?: number | readonly number[] | null;
  /** Strings that end a sequence; its text ends before them. They need a tokenizer. Default: none. */
  readonly stopStrings?: string | readonly string[];
  /** Turns prompts into tokens and tokens into text. */
  readonly tokenizer?: Tokenizer;
  /** Makes generation repeatable. Default: the default generator goes on. */
  readonly seed?: number;
  /** Where random numbers come from, instead of a seed. */
  readonly generator?: Generator;
  /** Ends generation, which then throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** So many tokens of a prompt are computed at once, which bounds the memory. Default 512. */
  readonly prefillChunkSize?: number;
  /**
   * Whether the model remembers earlier tokens. If false, all are computed again for each new one: for
   * attention that has no decode state. Default true.
   */
  readonly useCache?: boolean;
  /** What stands for the tokens of a sequence after its end. Default: the model's `padTokenId`, or 0. */
  readonly padTokenId?: number;
  /** With more than one, beam search: so many sequences are kept at a time. Default 1. */
  readonly numBeams?: number;
  /** Beams are divided into so many groups that keep their distance. Default 1. */
  readonly numBeamGroups?: number;
  /**
   * What is taken off the score of a token for each beam of an earlier group that takes it at the same
   * step. Default 0.
   */
  readonly diversityPenalty?: number;
  /** Scores of beams are divided by their generated length to this power: above 0 favours long ones. Default 1. */
  readonly lengthPenalty?: number;
  /**
   * When beam search ends: `true`, as soon as there are as many ended sequences as beams; `false`, when
   * the best beam, if it ended now, would not be among them; `"never"`, when no beam can ever be among
   * them. Default false.
   */
  readonly earlyStopping?: boolean | "never";
  /** How many of the best sequences beam search gives for each prompt. Default 1. */
  readonly numReturnSequences?: number;
}

/** Options of beam search, checked. */
export interface BeamSettings {
  readonly numBeams: number;
  readonly groups: number;
  readonly diversityPenalty: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | "never";
  readonly numReturnSequences: number;
}

/** All options, checked and with their defaults. */
export interface Settings {
  /** `null`: as many as fit, up to the default. */
  readonly maxNewTokens: number | null;
  /** `null` where the likeliest token is taken. */
  readonly sampling: Sampling | null;
  readonly repetitionPenalty: number;
  readonly logitsProcessors: readonly LogitsProcessor[];
  readonly stopTokens: ReadonlySet<number>;
  readonly stopStrings: readonly string[];
  readonly tokenizer: Tokenizer | null;
  readonly signal: AbortSignal | null;
  readonly prefillChunkSize: number;
  readonly useCache: boolean;
  readonly padTokenId: number;
  /** `null` where there is one beam. */
  readonly beams: BeamSettings | null;
}

const owner = "generate";

/** A number above 0 and up to 1. */
const share: Rule = ["lie above 0 and not above 1", (x) => x > 0 && x <= 1];

/** Checks the options and fills in their defaults. */
export function readOptions(
  { config, vocabSize }: { config: TransformerConfig; vocabSize: number },
  options: GenerateOptions,
): Settings {
  const { eosTokenId, padTokenId: pad } = config;
  const {
    maxNewTokens,
    repetitionPenalty = 1,
    logitsProcessors = [],
    tokenizer = null,
    signal = null,
    prefillChunkSize = 512,
    useCache = true,
  } = options;
  const stopTokens = [options.stopTokens === undefined ? eosTokenId : options.stopTokens].flat();
  const stopStrings = [options.stopStrings ?? []].flat();
  const padTokenId = options.padTokenId ?? pad ?? 0;
  checkNumbers(owner, count, { maxNewTokens: maxNewTokens ?? 1, prefillChunkSize });
  checkNumbers(owner, positive, { repetitionPenalty });
  const stops = stopTokens.filter((token) => token !== null);
  checkNumbers(owner, tokenBelow(vocabSize), { stopTokens: stops, padTokenId });
  check(
    stopStrings.every((string) => typeof string === "string" && string !== ""),
    "argument",
    () =>
      `${owner}: stopStrings must be strings with at least one character, got ${JSON.stringify(stopStrings)}. Leave empty ones out.`,
  );
  check(
    stopStrings.length === 0 || tokenizer !== null,
    "argument",
    () =>
      `${owner}: stopStrings need a tokenizer, got none. Pass tokenizer, or stop at tokens with stopTokens.`,
  );
  return {
    maxNewTokens: maxNewTokens ?? null,
    sampling: readSampling(options),
    repetitionPenalty,
    logitsProcessors,
    stopTokens: new Set(stops),
    stopStrings,
    tokenizer,
    signal,
    prefillChunkSize,
    useCache,
    padTokenId,
    beams: readBeams(options),
  };
}

/** A number of a token. */
export function tokenBelow(vocabSize: number): Rule {
  return [
    `be a token from 0 to ${vocabSize - 1}`,
    (x) => Number.isSafeInteger(x) && x >= 0 && x < vocabSize,
  ];
}

function readSampling(options: GenerateOptions): Sampling | null {
  const { temperature = 1, topK = null, topP = 1, minP = 0, seed, generator } = options;
  checkNumbers(owner, nonNegative, { temperature });
  if (topK !== null) checkNumbers(owner, count, { topK });
  checkNumbers(owner, share, { topP });
  checkNumbers(owner, probability, { minP });
  check(
    seed === undefined || generator === undefined,
    "argument",
    () => `${owner}: random numbers come from one source, got a seed and a generator. Pass one.`,
  );
  const isAsked = [options.temperature, options.topK, options.topP, options.minP].some(
    (option) => option !== undefined,
  );
  const source = seed === undefined ? (generator ?? getDefaultGenerator()) : new Generator(seed);
  if (!(options.doSample ?? isAsked) || temperature === 0) return null;
  return {
    temperature,
    topK,
    topP: topP === 1 ? null : topP,
    minP: minP === 0 ? null : minP,
    generator: source,
  };
}

function readBeams(options: GenerateOptions): BeamSettings | null {
  const {
    numBeams = 1,
    numBeamGroups: groups = 1,
    diversityPenalty = 0,
    lengthPenalty = 1,
    earlyStopping = false,
    numReturnSequences = 1,
  } = options;
  checkNumbers(owner, count, { numBeams, numBeamGroups: groups, numReturnSequences });
  checkNumbers(owner, nonNegative, { diversityPenalty });
  checkNumbers(owner, finite, { lengthPenalty });
  check(
    typeof earlyStopping === "boolean" || earlyStopping === "never",
    "argument",
    () =>
      `${owner}: earlyStopping must be true, false or "never", got ${JSON.stringify(earlyStopping)}. Choose one of them.`,
  );
  check(
    numBeams % groups === 0,
    "argument",
    () =>
      `${owner}: numBeams must be a multiple of numBeamGroups, got ${numBeams} and ${groups}. Choose another number of beams.`,
  );
  check(
    groups > 1 === diversityPenalty > 0,
    "argument",
    () =>
      `${owner}: groups of beams need a diversityPenalty above 0, and it needs groups, got ${groups} groups and ${diversityPenalty}. Pass both or neither.`,
  );
  check(
    numReturnSequences <= numBeams,
    "argument",
    () =>
      `${owner}: beam search gives at most numBeams sequences, got numReturnSequences ${numReturnSequences} and numBeams ${numBeams}. Use more beams, or repeat the prompt to draw several sequences.`,
  );
  if (numBeams === 1) return null;
  check(
    readSampling(options) === null,
    "argument",
    () =>
      `${owner}: beam search takes the likeliest sequences, got options for drawing tokens at random. Leave out temperature, topK, topP and minP, or numBeams.`,
  );
  return { numBeams, groups, diversityPenalty, lengthPenalty, earlyStopping, numReturnSequences };
}
