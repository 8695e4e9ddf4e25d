/** What a model is for: found in the data when it is trained, and written beside it. */

import { XError } from "@x/tensor";
import { numbersOf, type Input, type Row } from "../inputs.js";

/** What `--task` takes. */
export const taskNames = [
  "language",
  "classification",
  "regression",
  "forecasting",
  "seq2seq",
] as const;

/** What a model is trained for. */
export type TaskName = (typeof taskNames)[number];

/** How numbers were scaled: each less its mean, in standard deviations. */
export interface Scaling {
  readonly means: readonly number[];
  readonly deviations: readonly number[];
}

/** Everything about a task that is not in the model. */
export type Facts =
  | { readonly task: "language"; readonly input: string | null }
  | {
      readonly task: "classification";
      readonly input: string;
      readonly target: string;
      readonly labels: readonly string[];
    }
  | {
      readonly task: "regression";
      readonly input: string;
      readonly target: string;
      readonly scaling: Scaling;
    }
  | {
      readonly task: "forecasting";
      readonly columns: readonly string[];
      readonly targets: readonly string[];
      readonly horizon: number;
      readonly scaling: Scaling;
    }
  | { readonly task: "seq2seq"; readonly input: string; readonly target: string };

/** Where a task finds its examples. */
export interface Fields {
  readonly task: TaskName;
  /** The field that is given; `null` for text, and for series. */
  readonly input: string | null;
  /** The field that is to be predicted; `null` if there is none. */
  readonly target: string | null;
}

/** What a user said of the data. */
export interface FieldOptions {
  readonly task?: TaskName | undefined;
  readonly input?: string | undefined;
  readonly target?: string | undefined;
}

const inputNames = ["text", "source", "input", "features", "prompt"];
const targetNames = ["label", "target", "labels", "output", "completion"];

const has = (row: Row, field: string): boolean => Object.hasOwn(row, field);

/**
 * What the data is for, and in which fields it lies. Text is for language modelling. Rows with a field
 * `label` are for classification; with another target for regression, if that holds numbers, else for
 * sequence to sequence; with text alone for language modelling; with columns of numbers for forecasting.
 *
 * @throws XError `argument` if that cannot be told
 */
export function fieldsOf(input: Input, options: FieldOptions): Fields {
  const { task } = options;
  if (input.kind === "text") {
    if (task === undefined || task === "language") {
      return { task: "language", input: null, target: null };
    }
    throw new XError(
      "argument",
      `--task ${task}: the data must be rows of JSONL or CSV, got text from "${input.name}". Name another file, or its --format.`,
    );
  }
  const row = input.rows[0]!;
  const known = Object.keys(row).join(", ");
  for (const [option, field] of Object.entries({ input: options.input, target: options.target })) {
    if (field === undefined || task === "forecasting" || has(row, field)) continue;
    throw new XError(
      "argument",
      `--${option}: it must be a field of the data, got "${field}" where there are ${known}. Name one of these.`,
    );
  }
  const found = options.input ?? inputNames.find((name) => has(row, name)) ?? null;
  const target = options.target ?? targetNames.find((name) => has(row, name)) ?? null;
  const decided = task ?? taskOf(row, found, target);
  if (decided === "forecasting") return { task: decided, input: null, target: null };
  if (decided === "language" && found !== null) {
    return { task: decided, input: found, target: null };
  }
  if (decided !== null && found !== null && target !== null) {
    return { task: decided, input: found, target };
  }
  throw new XError(
    "argument",
    `--data: rows must have fields for ${decided ?? "a task"} that are known by their names, got ${known}. Name them with --input and --target.`,
  );
}

function taskOf(row: Row, input: string | null, target: string | null): TaskName | null {
  const values = Object.values(row);
  if (input === null) {
    return values.some((value) => numbersOf(value)?.length === 1) ? "forecasting" : null;
  }
  if (target === null) return typeof row[input] === "string" ? "language" : null;
  if (target === "label" || typeof row[target] === "boolean") return "classification";
  return numbersOf(row[target]) === null ? "seq2seq" : "regression";
}

/** Whether something is what {@link Facts} were written as. */
export function isFacts(value: unknown): value is Facts {
  const { task, ...facts } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const isText = (name: string): boolean => typeof facts[name] === "string";
  const isTexts = (name: string): boolean =>
    Array.isArray(facts[name]) && facts[name].every((item) => typeof item === "string");
  const isScaled = (): boolean => {
    const { means, deviations } = (facts.scaling ?? {}) as Partial<Scaling>;
    return [means, deviations].every(
      (list) => Array.isArray(list) && list.every((item) => Number.isFinite(item)),
    );
  };
  switch (task) {
    case "language":
      return facts.input === null || isText("input");
    case "classification":
      return isText("input") && isText("target") && isTexts("labels");
    case "regression":
      return isText("input") && isText("target") && isScaled();
    case "forecasting":
      return (
        isTexts("columns") && isTexts("targets") && Number.isInteger(facts.horizon) && isScaled()
      );
    case "seq2seq":
      return isText("input") && isText("target");
    default:
      return false;
  }
}
