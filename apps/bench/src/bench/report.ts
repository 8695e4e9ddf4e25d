/** Results as tables for people and as JSON for programs. */

import Table from "cli-table3";
import type { Sample } from "./measure.js";

/** One competitor within a row. */
export interface Entry {
  readonly name: string;
  /** `null` where it could not do it; the notes say why. */
  readonly sample: Sample | null;
  /** Largest difference from the first competitor's result, relative to the largest element. */
  readonly difference?: number;
  /** Other figures, e.g. GFLOPS or bytes. */
  readonly figures?: Readonly<Record<string, number>>;
}

/** One computation, done by all. */
export interface Row {
  readonly what: string;
  /** The first is ours. */
  readonly entries: readonly Entry[];
}

/** What is promised, and what was measured. */
export interface Claim {
  readonly claim: string;
  readonly measured: number;
  readonly must: number;
  readonly aim: number;
  /** Written behind the numbers. Default: `x`, a ratio. */
  readonly unit?: string;
  /** Whether less is better. Default: more is. */
  readonly atMost?: boolean;
}

/** All of a suite. */
export interface SuiteResult {
  readonly suite: string;
  readonly rows: readonly Row[];
  readonly claims: readonly Claim[];
  readonly notes: readonly string[];
}

/** Three significant digits. */
function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

/** The spread of a sample around its median, e.g. `−4 … +11 %`. */
function spread({ median, fastest, slowest }: Sample): string {
  const percent = (value: number): string => String(Math.round(100 * (value / median - 1)));
  return `${percent(fastest)} … +${percent(slowest)} %`;
}

/** Tables of a suite. */
export function formatSuite({ suite, rows, claims, notes }: SuiteResult): string {
  const parts = [`\n${suite}`];
  if (rows.length > 0) {
    const figures = [
      ...new Set(
        rows.flatMap(({ entries }) => entries.flatMap((e) => Object.keys(e.figures ?? {}))),
      ),
    ];
    const isTimed = rows.some(({ entries }) => entries.some(({ sample }) => sample !== null));
    const isCompared = rows.some(({ entries }) => entries.some((e) => e.difference !== undefined));
    const numbers = [
      ...(isTimed ? ["ms", "spread", "ours is"] : []),
      ...figures,
      ...(isCompared ? ["difference"] : []),
    ];
    const table = new Table({
      head: ["", "library", ...numbers],
      colAligns: ["left", "left", ...numbers.map(() => "right" as const)],
      style: { head: [], border: [], compact: true },
    });
    for (const { what, entries } of rows) {
      const ours = entries[0]?.sample?.median ?? NaN;
      entries.forEach(({ name, sample, figures: own, difference }, i) => {
        const times =
          sample === null
            ? ["–", "", ""]
            : [
                short(sample.median),
                spread(sample),
                i === 0 ? "" : `${short(sample.median / ours)}x`,
              ];
        table.push([
          i === 0 ? what : "",
          name,
          ...(isTimed ? times : []),
          ...figures.map((figure) => (own?.[figure] === undefined ? "" : short(own[figure]))),
          ...(isCompared ? [difference?.toExponential(1) ?? ""] : []),
        ]);
      });
    }
    parts.push(table.toString());
  }
  // What was not measured, since a library was left out, is not judged.
  const judged = claims.filter(({ measured }) => Number.isFinite(measured));
  if (judged.length > 0) {
    const table = new Table({
      head: ["claim", "measured", "must", "aim", ""],
      colAligns: ["left", "right", "right", "right", "left"],
      style: { head: [], border: [], compact: true },
    });
    for (const { claim, measured, must, aim, unit = "x", atMost = false } of judged) {
      const meets = (bound: number): boolean => (atMost ? measured <= bound : measured >= bound);
      const verdict = meets(aim) ? "aim reached" : meets(must) ? "reached" : "NOT reached";
      const bound = (value: number): string => `${atMost ? "≤ " : ""}${value}${unit}`;
      table.push([claim, `${short(measured)}${unit}`, bound(must), bound(aim), verdict]);
    }
    parts.push(table.toString());
  }
  parts.push(...notes.map((note) => `  ${note}`));
  return parts.join("\n");
}
