/** Rows of files, JSONL and CSV, with line numbers in the errors about them. */

import { XError } from "@x/tensor";
import { reasonOf } from "../runtime/reason.js";
import { linesOf, wholeText, type TextInput } from "./text-input.js";

/** Options of {@link readJsonl}. */
export interface JsonlOptions<T> {
  /** What the text is called in errors. Default `"the text"`. */
  readonly name?: string;
  /**
   * Makes an example of a row. What it throws becomes an error that names the line. Default: the row
   * as it is.
   */
  readonly parse?: (row: unknown) => T;
}

/** Options of {@link readCsv}. */
export interface CsvOptions<T> {
  /** What the text is called in errors. Default `"the text"`. */
  readonly name?: string;
  /** What stands between fields. Default `","`. */
  readonly delimiter?: string;
  /** The names of the columns. Default: those in the first line. */
  readonly columns?: readonly string[];
  /** As for {@link readJsonl}; rows are fields by the names of their columns. */
  readonly parse?: (row: Readonly<Record<string, string>>) => T;
}

/** Calls `parse`, and names the line in what it throws. */
function parsedRow<R, T>(op: string, parse: (row: R) => T, row: R, name: string, line: number): T {
  try {
    return parse(row);
  } catch (error) {
    throw new XError(
      "argument",
      `${op}: every row must make an example, got line ${line} of ${name} (${reasonOf(error)}). Correct the line.`,
      { cause: error },
    );
  }
}

function emptyText(op: string, name: string): XError {
  return new XError(
    "argument",
    `${op}: ${name} must hold at least one row, got none. Check that it is the right file.`,
  );
}

/**
 * The rows of JSONL, one JSON value a line, as they are read. Empty lines are skipped.
 *
 * @throws XError `argument`, with the line, if one is not JSON or `parse` refuses it; if there are
 * no rows
 * @example
 * ```ts
 * const text = '{"text": "good", "label": 1}\n{"text": "bad", "label": 0}\n';
 * for await (const row of readJsonl(text)) console.log(row);
 * // → { text: 'good', label: 1 }
 * // → { text: 'bad', label: 0 }
 * ```
 */
export async function* readJsonl<T = unknown>(
  input: TextInput,
  options: JsonlOptions<T> = {},
): AsyncGenerator<T, void, undefined> {
  // Without `parse`, T is unknown and a row is one as it is.
  const { name = "the text", parse = (row: unknown): T => row as T } = options;
  const op = "readJsonl";
  let count = 0;
  for await (const { text, number } of linesOf(op, input, name)) {
    if (text.trim() === "") continue;
    let row: unknown;
    try {
      row = JSON.parse(text);
    } catch (error) {
      throw new XError(
        "argument",
        `${op}: every line must be a JSON value, got line ${number} of ${name} (${reasonOf(error)}). Correct the line.`,
        { cause: error },
      );
    }
    count++;
    yield parsedRow(op, parse, row, name, number);
  }
  if (count === 0) throw emptyText(op, name);
}

/**
 * The rows of CSV (RFC 4180): fields by the names of their columns. The text is parsed as a whole.
 *
 * @throws XError `argument`, with the line, if a row has too many or too few fields, a quote is not
 * closed, or `parse` refuses it; if there are no rows
 * @example
 * ```ts
 * const rows = await collect(readCsv("date,sales\n2024-01-01,12\n2024-01-02,15\n"));
 * console.log(rows[1]); // → { date: '2024-01-02', sales: '15' }
 * ```
 */
export async function* readCsv<T = Readonly<Record<string, string>>>(
  input: TextInput,
  options: CsvOptions<T> = {},
): AsyncGenerator<T, void, undefined> {
  const { name = "the text", delimiter = ",", columns } = options;
  // Without `parse`, T is the type of a row.
  const { parse = (row: Readonly<Record<string, string>>): T => row as T } = options;
  const op = "readCsv";
  const text = await wholeText(op, input, name);
  // Only those who read CSV load the parser.
  const csv = await import("csv-parse/browser/esm/sync");
  let found: readonly { readonly record: Record<string, string>; readonly info: CsvInfo }[];
  try {
    // The types of the parser do not know what `info` and `columns` make of its result together.
    found = csv.parse(text, {
      columns: columns === undefined ? true : [...columns],
      delimiter,
      info: true,
      skip_empty_lines: true,
    }) as unknown as typeof found;
  } catch (error) {
    const line = (error as { readonly lines?: unknown }).lines;
    const place = typeof line === "number" ? `line ${line} of ${name}` : name;
    throw new XError(
      "argument",
      `${op}: rows must have a field for each column, got ${place} (${reasonOf(error)}). Correct the line.`,
      { cause: error },
    );
  }
  if (found.length === 0) throw emptyText(op, name);
  for (const { record, info } of found) yield parsedRow(op, parse, record, name, info.lines);
}

/** What the parser says of a row besides its fields. */
interface CsvInfo {
  /** The number of its last line. */
  readonly lines: number;
}

/**
 * The number in a field of a row of CSV.
 *
 * @throws XError `argument` if there is no such column or no finite number in it
 */
export function numberField(row: Readonly<Record<string, string>>, column: string): number {
  const text = Object.hasOwn(row, column) ? row[column] : undefined;
  if (text === undefined) {
    throw new XError(
      "argument",
      `numberField: the column must be one of ${Object.keys(row).join(", ")}, got "${column}". Name another.`,
    );
  }
  const number = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(number)) {
    throw new XError(
      "argument",
      `numberField: column "${column}" must hold numbers, got "${text}". Correct it or leave the row out.`,
    );
  }
  return number;
}

/** Everything that an async iterable gives, as an array. */
export async function collect<T>(items: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
