/** What `miniformer train` can be told. */

import type { Command } from "commander";
import { positionKinds, type PositionKind } from "../config/fields.js";
import { attentionNames } from "./plug-ins.js";
import { taskNames, type TaskName } from "./tasks/facts.js";
import {
  deviceOptions,
  formatOption,
  listOf,
  nonNegative,
  oneOf,
  positive,
  share,
  wholeNumber,
  type DeviceChoice,
  type Format,
} from "./values.js";

/** The options with their defaults filled in. */
export interface TrainOptions extends DeviceChoice {
  readonly data: string;
  readonly format?: Format;
  readonly task?: TaskName;
  readonly input?: string;
  readonly target?: string;
  readonly horizon: number;
  readonly heldOut: number;
  readonly tokenizer?: string;
  readonly attention: readonly string[];
  readonly positions: PositionKind;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly length: number;
  readonly dropout: number;
  readonly steps: number;
  readonly batch: number;
  readonly rate: number;
  readonly warmup: number;
  readonly decay: number;
  readonly evaluateEvery: number;
  readonly seed: number;
  readonly save: string;
  readonly overwrite?: boolean;
  readonly load?: string;
  readonly resume?: string;
  readonly generate: number;
  readonly prompt: string;
  readonly table?: boolean;
}

/** Size of a head, where the number of heads is not given. */
const headSize = 32;

/** What may be said anew when a run goes on: nothing that its steps depend on. */
const changeable = ["resume", "steps", "device", "threads", "generate", "prompt", "table"] as const;

/** Options whose default follows from others. */
type Derived = "heads" | "evaluateEvery" | "data";

/** What commander gives. */
export type GivenOptions = Omit<TrainOptions, Derived> & Partial<Pick<TrainOptions, Derived>>;

/** Declares the options. */
export function declareOptions(command: Command): void {
  command
    .option("--text, --data <file>", "what to learn from: text, JSONL or CSV")
    .addOption(formatOption())
    .option(
      "--task <name>",
      `one of ${taskNames.join(", ")} (default: by the data)`,
      oneOf(taskNames),
    )
    .option("--input <field>", "the field of rows that is given (default: text, source, …)")
    .option(
      "--target <field>",
      "the field that is predicted (default: label, target, …); of a series columns with commas between",
    )
    .option("--horizon <number>", "rows of a series that are predicted", wholeNumber(1), 1)
    .option("--held-out <share>", "share of the data that the model is judged by", share, 0.05)
    .option("--tokenizer <name>", "byte, character or a tokenizer.json (default: byte)")
    .option(
      "--attention <names>",
      `${attentionNames.join(", ")}; one for all layers or one for each, with commas between`,
      listOf(attentionNames),
      ["softmax"] as readonly string[],
    )
    .option(
      "--positions <name>",
      `one of ${positionKinds.join(", ")}`,
      oneOf(positionKinds),
      "rotary",
    )
    .option("--width <number>", "size of the model's vectors", wholeNumber(1), 128)
    .option("--layers <number>", "layers", wholeNumber(1), 3)
    .option("--heads <number>", `heads of a layer (default: width / ${headSize})`, wholeNumber(1))
    .option("--length <number>", "tokens or rows that a window has", wholeNumber(2), 128)
    .option("--dropout <share>", "probability of dropout", nonNegative, 0)
    .option("--steps <number>", "training steps", wholeNumber(0), 700)
    .option("--batch <number>", "examples a step", wholeNumber(1), 8)
    .option("--rate <number>", "highest learning rate", positive, 0.003)
    .option("--warmup <number>", "steps over which the rate rises", wholeNumber(0), 20)
    .option("--decay <number>", "weight decay", nonNegative, 0.01)
    .option(
      "--evaluate-every <number>",
      "steps between evaluations, each with a checkpoint (default: a quarter of the steps, at most 500)",
      wholeNumber(1),
    )
    .option("--seed <number>", "seed of all random numbers", wholeNumber(0), 0)
    .option("--save <folder>", "where the model and its checkpoints go", "checkpoints/miniformer")
    .option("--overwrite", "replace the run that is in that folder")
    .option("--load <folder>", "begin with the weights of a checkpoint, also a published one")
    .option("--resume <folder>", "go on with a run as if it had not stopped, with its options")
    .option("--generate <number>", "tokens to write at the end", wholeNumber(0), 0)
    .option("--prompt <text>", "what the written text begins with", "The ")
    .option("--table", "measure and show the model's speed and memory in the end");
  for (const option of deviceOptions()) command.addOption(option);
  command.addHelpText(
    "after",
    `
Text is learned token by token. Rows of JSONL or CSV are for classification if they have a field
label; with another target for regression, if it holds numbers, else for seq2seq; with a text alone
for language; with columns of numbers, and others such as dates, for forecasting.

Ctrl-C ends the training early, saves and says where.`,
  );
}

/**
 * The options of a run: those that were given, or those of the run that goes on.
 *
 * @throws CommanderError if they contradict each other
 */
export function completeOptions(
  given: GivenOptions,
  command: Command,
  earlier: Readonly<Record<string, unknown>> | null,
): TrainOptions {
  if (earlier !== null) return resumed(given, command, earlier);
  const { width, layers, attention, steps, data } = given;
  if (data === undefined) {
    return command.error("error: required option '--text, --data <file>' not specified");
  }
  const { heads = width / headSize, evaluateEvery = quarter(steps) } = given;
  if (width % heads !== 0 || !Number.isInteger(heads)) {
    const multiple = given.heads === undefined ? `${headSize}, or of --heads` : `--heads ${heads}`;
    command.error(
      `error: option '--width <number>' argument '${width}' is invalid. it must be a multiple of ${multiple}.`,
    );
  }
  if (attention.length !== 1 && attention.length !== layers) {
    command.error(
      `error: option '--attention <names>' argument '${attention.join(",")}' is invalid. there must be one name, or one for each of ${layers} layers.`,
    );
  }
  return { ...given, data, heads, evaluateEvery };
}

const quarter = (steps: number): number => Math.max(1, Math.min(500, Math.ceil(steps / 4)));

function resumed(
  given: GivenOptions,
  command: Command,
  earlier: Readonly<Record<string, unknown>>,
): TrainOptions {
  const said = (name: string): boolean => command.getOptionValueSource(name) === "cli";
  for (const name of Object.keys(given)) {
    if (!said(name) || changeable.some((other) => other === name)) continue;
    const flag = command.options.find((option) => option.attributeName() === name)!.long!;
    command.error(
      `error: option '${flag}' cannot be given with '--resume': the run goes on as it began.`,
    );
  }
  const anew = changeable.filter(said).map((name) => [name, given[name]] as const);
  // What was written down is what this function returned when the run began.
  return { ...given, ...earlier, ...Object.fromEntries(anew) } as TrainOptions;
}
