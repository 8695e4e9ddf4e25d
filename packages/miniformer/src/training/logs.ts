/** Logs of runs: a row for each step and each evaluation. */

import { fileSystem, isMissing, writeFlushed } from "../runtime/node.js";
import type { EvaluationReport, StepReport } from "./report.js";
import { notUsable, withoutFiles } from "./storage-failure.js";

/** A text that grows. */
export interface LogFile {
  /** The whole text, or `null` if there is none. */
  read(): Promise<string | null>;
  /** Adds text at the end. */
  append(text: string): Promise<void>;
  /** Puts a text in place of the whole. */
  replace(text: string): Promise<void>;
}

/** Where a run writes its reports. */
export interface TrainingLog {
  /** Called when a run begins, or goes on after `step` steps: later rows are dropped. */
  begin(step: number, metricNames: readonly string[]): Promise<void>;
  /** Adds a row. */
  write(report: StepReport | EvaluationReport): Promise<void>;
}

/**
 * A log file on disk. Needs Node's file system.
 *
 * @throws XError `unsupported` in a runtime without it
 */
export function logFile(path: string): LogFile {
  const op = "logFile";
  const system = fileSystem(op, withoutFiles);
  return {
    async read() {
      try {
        return new TextDecoder().decode(await system.readFile(path));
      } catch (error) {
        if (isMissing(error)) return null;
        throw notUsable(op, path, error);
      }
    },
    append: (text) =>
      system.appendFile(path, text).catch((error: unknown) => {
        throw notUsable(op, path, error);
      }),
    async replace(text) {
      try {
        const folder = /^(.*)[/\\]/.exec(path)?.[1] ?? "";
        if (folder !== "") await system.mkdir(folder, { recursive: true });
        await writeFlushed(system, `${path}.new`, text);
        await system.rename(`${path}.new`, path);
      } catch (error) {
        throw notUsable(op, path, error);
      }
    },
  };
}

/** A log in memory. */
export class MemoryLog implements LogFile {
  /** The text so far. */
  text = "";

  /** The text so far. */
  async read(): Promise<string> {
    return this.text;
  }

  /** Adds text. */
  async append(text: string): Promise<void> {
    this.text += text;
  }

  /** Replaces the text. */
  async replace(text: string): Promise<void> {
    this.text = text;
  }
}

/** The rows of a log that are whole and not of a later step. */
function keptLines(
  text: string | null,
  step: number,
  stepOf: (line: string) => number,
): readonly string[] {
  // A program that was killed may have left half a line, without its end.
  const lines = (text ?? "").split("\n").slice(0, -1);
  return lines.filter((line) => stepOf(line) <= step);
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

/**
 * A log of one JSON object a line: the reports of steps and evaluations as they are.
 *
 * @example
 * ```ts
 * const file = new MemoryLog();
 * const log = jsonlLog(file);
 * await log.begin(0, ["loss"]);
 * await log.write({ kind: "evaluation", step: 5, metrics: { loss: 2 }, isBest: true });
 * console.log(file.text.trim());
 * // → {"kind":"evaluation","step":5,"metrics":{"loss":2},"isBest":true}
 * ```
 */
export function jsonlLog(file: LogFile): TrainingLog {
  const stepOf = (line: string): number => {
    try {
      return (JSON.parse(line) as { readonly step?: number }).step ?? Infinity;
    } catch {
      return Infinity;
    }
  };
  return {
    begin: async (step) => file.replace(joined(keptLines(await file.read(), step, stepOf))),
    write: (report) => file.append(`${JSON.stringify(report)}\n`),
  };
}

const stepColumns = [
  "step",
  "epoch",
  "loss",
  "averageLoss",
  "learningRate",
  "gradientNorm",
  "count",
  "perSecond",
  "lossScale",
  "skipped",
] as const;

/**
 * A log of comma-separated values: a row for each step, and one for each evaluation, whose metrics
 * have columns of their own (`validation_loss` and so on).
 *
 * @example
 * ```ts
 * const file = new MemoryLog();
 * await csvLog(file).begin(0, ["loss", "accuracy"]);
 * console.log(file.text.trim().split(",").slice(-2)); // → [ 'validation_loss', 'validation_accuracy' ]
 * ```
 */
export function csvLog(file: LogFile): TrainingLog {
  let names: readonly string[] = [];
  return {
    async begin(step, metricNames) {
      names = metricNames;
      const header = [...stepColumns, ...names.map((name) => `validation_${name}`)].join(",");
      const stepOf = (line: string): number => (line === header ? Infinity : parseInt(line));
      const kept = keptLines(await file.read(), step, stepOf);
      await file.replace(joined([header, ...kept]));
    },
    write(report) {
      const cells =
        report.kind === "step"
          ? [...stepColumns.map((column) => report[column]), ...names.map(() => null)]
          : [
              report.step,
              ...stepColumns.slice(1).map(() => null),
              ...names.map((name) => report.metrics[name] ?? null),
            ];
      return file.append(`${cells.map((cell) => cell ?? "").join(",")}\n`);
    },
  };
}
