/** Windows of time series, for forecasting. */

import { check, checkNumbers, count, wholeFrom } from "@x/tensor/checks";
import { indexed, type Source } from "./source.js";

/** What is known, and what comes after it: both rows of numbers, one after the other. */
export interface SeriesExample {
  /** `context` rows of all columns. */
  readonly features: Float32Array;
  /** `horizon` rows of the predicted columns. */
  readonly target: Float32Array;
}

/** Options of {@link seriesWindows}. */
export interface SeriesOptions {
  /** How many rows are known. */
  readonly context: number;
  /** How many rows after them are predicted. */
  readonly horizon: number;
  /** Which columns are predicted. Default: all. */
  readonly targets?: readonly number[];
  /** The first row whose future is predicted (the context lies before it). Default: `context`. */
  readonly from?: number;
  /** The row before which every predicted row lies. Default: the number of rows. */
  readonly to?: number;
  /** By how many rows a window begins after the one before. Default 1. */
  readonly stride?: number;
}

/**
 * Every window of a multivariate series: `context` rows and the `horizon` rows after them. Hold out
 * the end of a series with `from` and `to`: what is predicted in training then ends before what is
 * predicted in validation begins.
 *
 * @param rows of equal length: one number a column
 * @throws XError `argument` if rows differ in length or hold no finite numbers, or no window fits
 * @example
 * ```ts
 * const windows = seriesWindows([[1], [2], [3], [4]], { context: 2, horizon: 1 });
 * console.log(windows.length, windows.at!(1).features, windows.at!(1).target);
 * // → 2 Float32Array(2) [ 2, 3 ] Float32Array(1) [ 4 ]
 * ```
 */
export function seriesWindows(
  rows: readonly ArrayLike<number>[],
  options: SeriesOptions,
): Source<SeriesExample> {
  const op = "seriesWindows";
  const { context, horizon, stride = 1 } = options;
  const { from = context, to = rows.length } = options;
  checkNumbers(op, count, { context, horizon, stride });
  checkNumbers(op, wholeFrom(context), { from });
  checkNumbers(op, wholeFrom(0), { to });
  const columns = rows[0]?.length ?? 0;
  const { targets = Array.from({ length: columns }, (_, i) => i) } = options;
  for (const column of targets) {
    check(
      Number.isInteger(column) && column >= 0 && column < columns,
      "argument",
      () => `${op}: targets must be columns from 0 to ${columns - 1}, got ${column}. Correct them.`,
    );
  }
  const table = new Float32Array(rows.length * columns);
  rows.forEach((row, i) => {
    const isRow = row.length === columns && Array.from(row).every(Number.isFinite);
    check(
      isRow,
      "argument",
      () =>
        `${op}: every row must hold ${columns} finite numbers, got [${Array.from(row).join(", ")}] as row ${i}. Correct it or fill the gap.`,
    );
    table.set(row, i * columns);
  });
  const last = Math.min(to, rows.length) - horizon;
  const windows = Math.floor((last - from) / stride) + 1;
  check(
    windows > 0,
    "argument",
    () =>
      `${op}: there must be at least ${from + horizon} rows for a window of ${context} and ${horizon} rows from row ${from} on, got ${Math.min(to, rows.length)}. Take more rows or shorter windows.`,
  );
  return indexed(windows, (index) => {
    const start = from + index * stride;
    const target = new Float32Array(horizon * targets.length);
    for (let i = 0; i < target.length; i++) {
      const row = start + Math.floor(i / targets.length);
      target[i] = table[row * columns + targets[i % targets.length]!]!;
    }
    return { features: table.slice((start - context) * columns, start * columns), target };
  });
}
