/** Values of options, checked while the command line is read. */

import { availableParallelism } from "node:os";
import { InvalidArgumentError, Option } from "commander";

type Parser<T> = (text: string) => T;

/** A whole number of at least `least`. */
export function wholeNumber(least: number): Parser<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`it must be a whole number of at least ${least}.`);
    }
    return value;
  };
}

/** A number above 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) {
    throw new InvalidArgumentError("it must be a number above 0.");
  }
  return value;
}

/** A number of at least 0. */
export function nonNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && Number.isFinite(value))) {
    throw new InvalidArgumentError("it must be a number of at least 0.");
  }
  return value;
}

/** A number between 0 and 1, neither of them. */
export function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1)) {
    throw new InvalidArgumentError("it must be a number above 0 and below 1.");
  }
  return value;
}

/** One of some words. */
export function oneOf<T extends string>(words: readonly T[]): Parser<T> {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw new InvalidArgumentError(`there are ${words.join(", ")}.`);
    return found;
  };
}

/** Words with commas between them, each one of some. */
export function listOf<T extends string>(words: readonly T[]): Parser<readonly T[]> {
  return (text) => text.split(",").map((word) => oneOf(words)(word.trim()));
}

/** The devices. */
export const deviceNames = ["wasm", "webgpu", "reference"] as const;

/** Where to compute. */
export type DeviceName = (typeof deviceNames)[number];

/** Where a command computes. */
export interface DeviceChoice {
  readonly device: DeviceName;
  readonly threads: number;
}

/** The options of a {@link DeviceChoice}. */
export function deviceOptions(): readonly Option[] {
  return [
    new Option("--device <name>", `where to compute: ${deviceNames.join(", ")}`)
      .argParser(oneOf(deviceNames))
      .default("wasm"),
    new Option("--threads <number>", "threads to work on, with wasm")
      .argParser(wholeNumber(1))
      .default(availableParallelism()),
  ];
}

/** The option that names a model. */
export function modelOption(): Option {
  return new Option(
    "--model <folder>",
    "folder that `miniformer train` wrote, or of a published model",
  ).makeOptionMandatory();
}

/** The option that names the format of data. */
export function formatOption(): Option {
  return new Option(
    "--format <name>",
    `one of ${formats.join(", ")} (default: by the name)`,
  ).argParser(oneOf(formats));
}

/** The formats of data. */
export const formats = ["text", "jsonl", "csv"] as const;

/** How data is written down. */
export type Format = (typeof formats)[number];
