/** What the main job can be told on the command line. */

import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError } from "commander";

/** Where the job writes to. */
export interface Output {
  /** A part of the output, line ends included. */
  write(text: string): void;
  /** Why it could not go on. */
  complain(line: string): void;
}

/** The options with their defaults filled in. */
export interface Options {
  readonly text?: string;
  readonly steps: number;
  readonly length: number;
  readonly batch: number;
  readonly width: number;
  readonly layers: number;
  readonly rate: number;
  readonly device: DeviceName;
  readonly threads: number;
  readonly seed: number;
  readonly save: string;
  readonly load?: string;
  readonly generate: number;
  readonly prompt: string;
}

function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least) {
      throw new InvalidArgumentError(`it must be a whole number of at least ${least}.`);
    }
    return value;
  };
}

function width(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 32 || value % 32 !== 0) {
    throw new InvalidArgumentError("it must be a multiple of 32.");
  }
  return value;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) {
    throw new InvalidArgumentError("it must be a number above 0.");
  }
  return value;
}

const deviceNames = ["wasm", "webgpu", "reference"] as const;

/** Where to compute. */
export type DeviceName = (typeof deviceNames)[number];

function device(text: string): DeviceName {
  const found = deviceNames.find((name) => name === text);
  if (found === undefined) throw new InvalidArgumentError(`there are ${deviceNames.join(", ")}.`);
  return found;
}

/**
 * Reads the command line. Throws a `CommanderError`, with help or a complaint already given to
 * `output`, where there is nothing to run.
 */
export function readOptions(args: readonly string[], output: Output): Options {
  const command = new Command("npm start --")
    .description(
      "Trains a byte-level language model with cumulative linear attention on real text, shows how well it does on text it has not seen, and lets it write on.",
    )
    .option(
      "--text <file>",
      "text to learn from (default: this repository's documents and sources)",
    )
    .option("--steps <number>", "training steps", wholeNumber(0), 700)
    .option("--length <number>", "bytes a training window has", wholeNumber(2), 128)
    .option("--batch <number>", "windows per step", wholeNumber(1), 8)
    .option("--width <number>", "size of the model's vectors, a multiple of 32", width, 128)
    .option("--layers <number>", "encoder layers", wholeNumber(1), 3)
    .option("--rate <number>", "highest learning rate", positive, 0.003)
    .option("--device <name>", `one of ${deviceNames.join(", ")}`, device, "wasm")
    .option("--threads <number>", "threads to work on", wholeNumber(1), availableParallelism())
    .option("--seed <number>", "seed of all random numbers", wholeNumber(0), 0)
    .option("--save <folder>", "where the checkpoint goes", "checkpoints/main-job")
    .option("--load <folder>", "checkpoint to continue from")
    .option("--generate <number>", "bytes to write at the end", wholeNumber(0), 400)
    .option("--prompt <text>", "what the written text begins with", "The tensor ")
    .addHelpText("after", "\nCtrl-C ends the training early, saves and says where.")
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => output.write(text),
      writeErr: (text) => output.complain(text.trimEnd()),
    })
    .parse([...args], { from: "user" });
  return command.opts<Options>();
}
