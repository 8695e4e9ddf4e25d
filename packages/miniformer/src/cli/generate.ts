/** `miniformer generate`. */

import { text } from "node:stream/consumers";
import type { Command } from "commander";
import { fromData, XError } from "@x/tensor";
import type { GenerateOptions } from "../generation/options.js";
import type { LanguageModel } from "../model/language-model.js";
import { Seq2SeqTransformer } from "../model/seq2seq.js";
import { Transformer } from "../model/transformer.js";
import {
  isPair,
  loadModel,
  openModelFolder,
  tokenizerIn,
  withoutTokenizer,
  type ModelFolder,
} from "./load-model.js";
import type { Surroundings } from "./output.js";
import { useDevice } from "./plug-ins.js";
import { readRecord } from "./run-folder.js";
import { neededMark } from "./tokens.js";
import {
  deviceOptions,
  modelOption,
  nonNegative,
  positive,
  wholeNumber,
  type DeviceChoice,
} from "./values.js";
import { writeOn } from "./write-on.js";

interface Options extends DeviceChoice {
  readonly model: string;
  readonly prompt: string;
  readonly tokens: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly greedy?: boolean;
  readonly beams?: number;
  readonly stop?: readonly string[];
  readonly seed?: number;
}

/** Where neither the command line nor the checkpoint says how to draw. */
const defaultTemperature = 0.8;

/** Adds the command to a program. */
export function addGenerate(program: Command, surroundings: Surroundings): void {
  const command = program
    .command("generate")
    .description("Lets a model write on from a prompt, or turn a text into another.")
    .addOption(modelOption())
    .requiredOption("--prompt <text>", "what the text begins with; - reads it from the input")
    .option("--tokens <number>", "tokens to write at most", wholeNumber(1), 200)
    .option(
      "--temperature <number>",
      `below 1 the model is more careful; 0 takes the likeliest (default: ${defaultTemperature}, or what the checkpoint says)`,
      nonNegative,
    )
    .option("--top-k <number>", "draw from so many of the likeliest tokens only", wholeNumber(1))
    .option("--top-p <number>", "draw from the fewest tokens with this probability", positive)
    .option(
      "--min-p <number>",
      "draw from tokens this many times as likely as the best",
      nonNegative,
    )
    .option("--repetition-penalty <number>", "above 1, what came before gets rarer", positive)
    .option("--greedy", "always take the likeliest token")
    .option("--beams <number>", "beam search with so many beams", wholeNumber(1))
    .option("--stop <text...>", "end before one of these texts")
    .option("--seed <number>", "makes the text repeatable", wholeNumber(0));
  for (const option of deviceOptions()) command.addOption(option);
  command
    .addHelpText(
      "after",
      "\nThe text comes as it is written, after the prompt. Ctrl-C ends it early.",
    )
    .action((options: Options) => runGenerate(options, surroundings));
}

async function runGenerate(options: Options, { output, interrupt }: Surroundings): Promise<void> {
  await useDevice(options);
  const folder = await openModelFolder(options.model, "--model");
  const record = await readRecord(folder.path);
  const task = record?.facts.task ?? "language";
  if (task !== "language" && task !== "seq2seq") {
    throw new XError(
      "argument",
      `--model: generation needs a language model or an encoder–decoder, got a model for ${task} in "${options.model}". Use \`miniformer eval\` with it, or name another.`,
    );
  }
  const tokenizer = await tokenizerIn(folder);
  if (tokenizer === null) {
    throw withoutTokenizer(folder);
  }
  const prompt = options.prompt === "-" ? await readPrompt() : options.prompt;
  const { model, suggested } = isPair(folder)
    ? await bound(folder, tokenizer.encode(prompt))
    : await single(folder);
  const settings = { ...suggested, ...sampling(options, suggested), tokenizer };
  if (isPair(folder)) {
    await writeOn(model, [neededMark(tokenizer, "begin")], settings, output, interrupt);
  } else {
    if (prompt === "") {
      throw new XError(
        "argument",
        "--prompt: it must have at least one character, got none. Write how the text begins.",
      );
    }
    output.write(prompt);
    await writeOn(model, prompt, settings, output, interrupt);
  }
  output.write("\n");
}

/** What the input says, without the end of its last line. */
async function readPrompt(): Promise<string> {
  return (await text(process.stdin)).replace(/\r?\n$/, "");
}

interface Loaded {
  readonly model: LanguageModel;
  /** What the checkpoint says about generation. */
  readonly suggested: GenerateOptions;
}

async function single(folder: ModelFolder): Promise<Loaded> {
  const loaded = await loadModel(folder, (config) => new Transformer(config));
  return { model: loaded.model, suggested: loaded.generationConfig };
}

async function bound(folder: ModelFolder, source: readonly number[]): Promise<Loaded> {
  const loaded = await loadModel(folder, (config) => new Seq2SeqTransformer(config));
  const { eosTokenId } = loaded.config;
  const tokens = source.length > 0 ? source : [[eosTokenId ?? 0].flat()[0]!];
  const model = loaded.model.bind(fromData(Int32Array.from(tokens), [1, tokens.length]));
  // What is turned into another text is best taken as it is likeliest.
  return { model, suggested: { doSample: false, ...loaded.generationConfig } };
}

/** What the command line says of how tokens are chosen. */
function sampling(options: Options, suggested: GenerateOptions): GenerateOptions {
  const { temperature, topK, topP, minP, repetitionPenalty, seed, beams, stop } = options;
  const given = Object.fromEntries(
    Object.entries({ temperature, topK, topP, minP, repetitionPenalty, seed }).filter(
      ([, value]) => value !== undefined,
    ),
  ) as GenerateOptions;
  const common = {
    ...given,
    maxNewTokens: options.tokens,
    ...(stop !== undefined && { stopStrings: stop }),
  };
  if (beams !== undefined && beams > 1) return { ...common, numBeams: beams, doSample: false };
  if (options.greedy === true) return { ...common, doSample: false };
  const isDrawn = [temperature, topK, topP, minP].some((value) => value !== undefined);
  if (isDrawn) return { ...common, doSample: true };
  const { doSample, temperature: usual } = suggested;
  if (doSample === false) return common;
  return { ...common, doSample: true, temperature: usual ?? defaultTemperature };
}
