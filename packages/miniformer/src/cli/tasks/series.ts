/** Forecasting: a series of rows, and the rows after it. */

import { XError } from "@x/tensor";
import { Transformer } from "../../model/transformer.js";
import { seriesWindows } from "../../data/series.js";
import { forecasting } from "../../training/regression.js";
import { numberFields, numbersOf, type Row } from "../inputs.js";
import { formatCount } from "../table.js";
import type { Facts } from "./facts.js";
import { evenly, makeJob, type Job } from "./job.js";
import type { JobOptions } from "./options.js";
import { numbersHeadline, scale, scalingOf } from "./sequences.js";

type ForecastingFacts = Extract<Facts, { task: "forecasting" }>;

/** The job of predicting the next rows of a series. The end of the series is held out. */
export function seriesJob(
  rows: readonly Row[],
  earlier: ForecastingFacts | null,
  options: JobOptions,
): Job {
  const columns = earlier?.columns ?? numberColumns(rows);
  const targets = earlier?.targets ?? options.targets ?? columns;
  const horizon = earlier?.horizon ?? options.horizon ?? 1;
  for (const target of targets) {
    if (columns.includes(target)) continue;
    throw new XError(
      "argument",
      `--target: it must be columns of numbers, got "${target}" where there are ${columns.join(", ")}. Name some of these.`,
    );
  }
  const table = rows.map((row) => columns.flatMap((column) => numberFields(row, column)));
  const { length: context, heldOut: share } = options;
  const cut = share === null ? table.length : Math.floor(table.length * (1 - share));
  const least = context + horizon;
  if (cut < least || (share !== null && table.length - cut < horizon)) {
    throw new XError(
      "argument",
      `--data: both parts of the series must have a window of --length ${context} and --horizon ${horizon}, got ${cut} rows to learn from and ${table.length - cut} held out. Take a longer series or a smaller --length.`,
    );
  }
  const scaling = earlier?.scaling ?? scalingOf(table.slice(0, cut));
  const scaled = table.map((row) => scale(row, scaling));
  const numbers = targets.map((target) => columns.indexOf(target));
  const windows = { context, horizon, targets: numbers };
  const heldOut = seriesWindows(scaled, share === null ? windows : { ...windows, from: cut });
  const inputDim = columns.length;
  return makeJob({
    facts: { task: "forecasting", columns, targets, horizon, scaling },
    fields: { inputDim, outputDim: horizon * targets.length, causal: true, pooling: "last" },
    tokenizer: null,
    sizes: `${formatCount(cut)} rows of ${inputDim} columns, ${formatCount(table.length - cut)} held out`,
    unit: "numbers",
    loss: (loss) => `loss ${loss.toFixed(3)}`,
    headline: numbersHeadline({
      means: numbers.map((number) => scaling.means[number]!),
      deviations: numbers.map((number) => scaling.deviations[number]!),
    }),
    task: forecasting({ inputDim }),
    training: seriesWindows(scaled, share === null ? windows : { ...windows, to: cut }),
    heldOut: evenly(heldOut, options.mostHeldOut),
    make: (config) => new Transformer(config),
  });
}

/** The columns in which the first row has a number: others, such as dates, are left out. */
function numberColumns(rows: readonly Row[]): readonly string[] {
  const row = rows[0]!;
  const columns = Object.keys(row).filter((name) => numbersOf(row[name])?.length === 1);
  if (columns.length > 0) return columns;
  throw new XError(
    "argument",
    `--data: a series must have columns of numbers, got ${Object.keys(row).join(", ")} without. Name another file.`,
  );
}
