/** Files that commands read and folders that they write to. */

import { access, constants, mkdir, readFile } from "node:fs/promises";
import { extname } from "node:path";
import { XError } from "@x/tensor";
import { collect, readCsv, readJsonl } from "../data/rows.js";
import { reasonOf } from "../runtime/reason.js";
import type { Format } from "./values.js";

/** A row of JSONL, or of CSV, whose fields are texts. */
export type Row = Readonly<Record<string, unknown>>;

/** What was read. */
export type Input =
  | { readonly kind: "text"; readonly name: string; readonly bytes: Uint8Array }
  | { readonly kind: "rows"; readonly name: string; readonly rows: readonly Row[] };

/** The format that a file has by its name. */
function formatOf(file: string): Format {
  const extension = extname(file).toLowerCase();
  if (extension === ".csv") return "csv";
  return [".jsonl", ".ndjson"].includes(extension) ? "jsonl" : "text";
}

/**
 * Reads a file of data.
 *
 * @throws XError `argument` if it cannot be read, or is not what its format says
 */
export async function readInput(file: string, format: Format | undefined): Promise<Input> {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await readFile(file));
  } catch (error) {
    throw new XError(
      "argument",
      `--data: the file must be readable, got "${file}" (${reasonOf(error)}). Name a file that exists.`,
      { cause: error },
    );
  }
  const kind = format ?? formatOf(file);
  if (kind === "text") return { kind, name: file, bytes };
  const name = `"${file}"`;
  const rows =
    kind === "csv"
      ? await collect(readCsv<Row>(bytes, { name, parse: (row) => row }))
      : await collect(readJsonl<Row>(bytes, { name, parse: rowOf }));
  return { kind: "rows", name: file, rows };
}

/** A row of JSONL: an object, a text alone, or numbers alone. */
function rowOf(value: unknown): Row {
  if (typeof value === "string") return { text: value };
  if (Array.isArray(value)) {
    return Object.fromEntries(value.map((item: unknown, i) => [String(i + 1), item]));
  }
  if (typeof value === "object" && value !== null) return value as Row;
  throw new Error("a line must hold an object, a text or a list of numbers");
}

/**
 * The text of a field.
 *
 * @throws XError `argument` if it has none
 */
export function textField(row: Row, field: string): string {
  const value = Object.hasOwn(row, field) ? row[field] : undefined;
  if (typeof value === "string") return value;
  throw new XError(
    "argument",
    `--data: field "${field}" must hold text in every row, got ${JSON.stringify(value) ?? "none"} in ${shown(row)}. Correct the row, or name another field.`,
  );
}

/** The number or numbers that a value is or writes down; `null` if it is none. */
export function numbersOf(value: unknown): readonly number[] | null {
  const items: readonly unknown[] = Array.isArray(value) ? value.flat() : [value];
  const numbers = items.map((item) => {
    if (typeof item === "number") return item;
    return typeof item === "string" && item.trim() !== "" ? Number(item) : NaN;
  });
  return numbers.length > 0 && numbers.every(Number.isFinite) ? numbers : null;
}

/**
 * The numbers of a field.
 *
 * @throws XError `argument` if it has none
 */
export function numberFields(row: Row, field: string): readonly number[] {
  const value = Object.hasOwn(row, field) ? row[field] : undefined;
  const numbers = numbersOf(value);
  if (numbers !== null) return numbers;
  throw new XError(
    "argument",
    `--data: field "${field}" must hold numbers in every row, got ${JSON.stringify(value) ?? "none"} in ${shown(row)}. Correct the row, or name another field.`,
  );
}

function shown(row: Row): string {
  const text = JSON.stringify(row);
  return text.length <= 80 ? text : `${text.slice(0, 77)}…`;
}

/**
 * Makes a folder if it is not there.
 *
 * @throws XError `argument` if it cannot be written to
 */
export async function prepareFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (error) {
    throw notWritable(folder, error);
  }
}

/** The error for a folder that cannot be written to. */
export function notWritable(folder: string, error: unknown): XError {
  return new XError(
    "argument",
    `--save: the folder must be writable, got "${folder}" (${reasonOf(error)}). Name another folder, or make room.`,
    { cause: error },
  );
}
