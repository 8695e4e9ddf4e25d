/** Classification and regression: a sequence of tokens or vectors, and what belongs to it. */

import { XError } from "@x/tensor";
import type { TransformerOptions } from "../../config/fields.js";
import { Transformer } from "../../model/transformer.js";
import { mapped } from "../../data/source.js";
import { classification } from "../../training/classification.js";
import type { SequenceInput } from "../../training/inputs.js";
import { regression } from "../../training/regression.js";
import type { Tokenizer } from "../../tokenizers/tokenizer.js";
import { numberFields, textField, type Row } from "../inputs.js";
import { formatCount } from "../table.js";
import { makeTokenizer } from "../tokens.js";
import type { Facts, Scaling } from "./facts.js";
import { evenly, makeJob, type Job } from "./job.js";
import { parts, type JobOptions } from "./options.js";

type Of<Name> = Extract<Facts, { task: Name }>;

interface Sequences {
  readonly tokenizer: Tokenizer | null;
  /** The size of vectors; `null` for tokens. */
  readonly inputDim: number | null;
  readonly sequences: readonly SequenceInput[];
  /** What a model of such sequences is. */
  readonly fields: TransformerOptions;
}

/** The job of naming the class of a sequence. */
export async function classificationJob(
  rows: readonly Row[],
  fields: Pick<Of<"classification">, "input" | "target"> & Partial<Of<"classification">>,
  options: JobOptions,
): Promise<Job> {
  const { input, target } = fields;
  const found = rows.map((row) => labelOf(row, target));
  const labels = fields.labels ?? [...new Set(found)].sort();
  if (labels.length < 2) {
    throw new XError(
      "argument",
      `--target: field "${target}" must have at least two different values, got ${labels.length}. Name another field, or take more data.`,
    );
  }
  const numbers = new Map(labels.map((label, i) => [label, i]));
  const { sequences, tokenizer, ...model } = await readSequences(rows, input, options);
  const examples = sequences.map((sequence, i) => {
    const label = numbers.get(found[i]!);
    if (label !== undefined) return { ...sequence, label };
    throw new XError(
      "argument",
      `--data: field "${target}" must hold one of the classes ${labels.join(", ")}, got "${found[i]}". Correct the data, or take another model.`,
    );
  });
  const { training, heldOut } = parts(examples, options);
  return makeJob({
    facts: { task: "classification", input, target, labels },
    fields: { ...model.fields, outputDim: labels.length },
    tokenizer,
    sizes: `${formatCount(training.length!)} examples of ${labels.length} classes, ${formatCount(heldOut.length!)} held out`,
    unit: "examples",
    loss: (loss) => `loss ${loss.toFixed(3)}`,
    headline: ({ accuracy, f1Macro }) =>
      `${(100 * accuracy!).toFixed(1)} % right, F1 ${f1Macro!.toFixed(3)}`,
    task: classification({ classes: labels.length, inputDim: model.inputDim }),
    training,
    heldOut: evenly(heldOut, options.mostHeldOut),
    make: (config) => new Transformer(config),
  });
}

function labelOf(row: Row, field: string): string {
  const value = Object.hasOwn(row, field) ? row[field] : undefined;
  if (["string", "number", "boolean"].includes(typeof value)) return String(value);
  throw new XError(
    "argument",
    `--target: field "${field}" must hold a class in every row, got ${JSON.stringify(value) ?? "none"}. Correct the row, or name another field.`,
  );
}

/** The job of predicting numbers for a sequence. */
export async function regressionJob(
  rows: readonly Row[],
  fields: Pick<Of<"regression">, "input" | "target"> & Partial<Of<"regression">>,
  options: JobOptions,
): Promise<Job> {
  const { input, target } = fields;
  const targets = rows.map((row) => numberFields(row, target));
  const count = fields.scaling?.means.length ?? targets[0]!.length;
  const other = targets.find(({ length }) => length !== count);
  if (other !== undefined) {
    throw new XError(
      "argument",
      `--target: field "${target}" must hold ${count} numbers in every row, got ${other.length}. Correct the data.`,
    );
  }
  const { sequences, tokenizer, ...model } = await readSequences(rows, input, options);
  const examples = sequences.map((sequence, i) => ({ ...sequence, target: targets[i]! }));
  const { training, heldOut } = parts(examples, options);
  const known = Array.from({ length: training.length! }, (_, i) => training.at!(i).target);
  const scaling = fields.scaling ?? scalingOf(known);
  const scaled = (example: (typeof examples)[number]): (typeof examples)[number] => {
    return { ...example, target: scale(example.target, scaling) };
  };
  return makeJob({
    facts: { task: "regression", input, target, scaling },
    fields: { ...model.fields, outputDim: count },
    tokenizer,
    sizes: `${formatCount(training.length!)} examples, ${formatCount(heldOut.length!)} held out`,
    unit: "numbers",
    loss: (loss) => `loss ${loss.toFixed(3)}`,
    headline: numbersHeadline(scaling),
    task: regression({ inputDim: model.inputDim }),
    training: mapped(training, scaled),
    heldOut: mapped(evenly(heldOut, options.mostHeldOut), scaled),
    make: (config) => new Transformer(config),
  });
}

/** The mean error in the unit of the data, where there is one number, else in deviations. */
export function numbersHeadline({ deviations }: Scaling) {
  return ({ mae, rmse }: Readonly<Record<string, number>>): string => {
    const one = deviations.length === 1 ? deviations[0]! : 1;
    const unit = deviations.length === 1 ? "" : " standard deviations";
    return `off by ${(one * mae!).toPrecision(3)}${unit} in the mean (root of squares ${(one * rmse!).toPrecision(3)})`;
  };
}

/** Mean and standard deviation of each column. */
export function scalingOf(rows: readonly ArrayLike<number>[]): Scaling {
  const columns = rows[0]!.length;
  const means = new Array<number>(columns).fill(0);
  const squares = new Array<number>(columns).fill(0);
  for (const row of rows) for (let i = 0; i < columns; i++) means[i]! += row[i]! / rows.length;
  for (const row of rows) {
    for (let i = 0; i < columns; i++) squares[i]! += (row[i]! - means[i]!) ** 2 / rows.length;
  }
  // A column that never changes stays as it is.
  return { means, deviations: squares.map((square) => Math.sqrt(square) || 1) };
}

/** Numbers less their means, in deviations; there may be several rows of them. */
export function scale(numbers: ArrayLike<number>, { means, deviations }: Scaling): number[] {
  return Array.from(numbers, (value, i) => {
    const column = i % means.length;
    return (value - means[column]!) / deviations[column]!;
  });
}

async function readSequences(
  rows: readonly Row[],
  field: string,
  options: JobOptions,
): Promise<Sequences> {
  const common = { causal: false, pooling: "mean" } as const;
  const first = rows[0]![field];
  if (Array.isArray(first)) {
    const inputDim = Array.isArray(first[0]) ? first[0].length : 1;
    const sequences = rows.map((row) => {
      const features = numberFields(row, field);
      if (features.length % inputDim === 0) {
        return { features: features.slice(0, options.length * inputDim) };
      }
      throw new XError(
        "argument",
        `--input: field "${field}" must hold vectors of ${inputDim} numbers, got ${features.length} numbers. Correct the data.`,
      );
    });
    return { tokenizer: null, inputDim, sequences, fields: { ...common, inputDim } };
  }
  const texts = rows.map((row) => textField(row, field));
  const tokenizer =
    options.tokenizer ??
    (await makeTokenizer(options.tokenizerName ?? "byte", () => texts.join(""), []));
  const sequences = texts.map((text) => {
    const tokens = tokenizer.encode(text).slice(0, options.length);
    // A sequence has at least one position.
    return { tokens: tokens.length === 0 ? [0] : tokens };
  });
  const { vocabSize } = tokenizer;
  return { tokenizer, inputDim: null, sequences, fields: { ...common, vocabSize } };
}
