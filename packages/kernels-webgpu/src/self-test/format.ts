/** The result of a self-test for people. */

import type { SelfTestCaseResult, SelfTestResult } from "./self-test.js";

const columns = ["", "kernel", "case", "error", "tolerance", "ms"];

function cellsOf(result: SelfTestCaseResult): string[] {
  const { kernel, name, passed, error, tolerance, milliseconds } = result;
  return [
    passed ? "✓" : "✗",
    kernel,
    name,
    error.toExponential(1),
    tolerance === 0 ? "exact" : tolerance.toExponential(0),
    milliseconds.toFixed(2),
  ];
}

/** Kernels without their sizes, with the number of their variants; fused loops all in one. */
function formatLaunches(launches: readonly string[]): string {
  const variants = new Map<string, number>();
  for (const launch of launches) {
    const kind = launch.startsWith("loop ") ? "fused loop" : launch.replace(/ \d[\dx]*\b/g, "");
    variants.set(kind, (variants.get(kind) ?? 0) + 1);
  }
  return [...variants].map(([kind, count]) => (count > 1 ? `${kind} (${count})` : kind)).join(", ");
}

/** One line for a case, such as `onProgress` may print. */
export function formatSelfTestCase(result: SelfTestCaseResult): string {
  const [mark, kernel, name, error, tolerance] = cellsOf(result);
  return `${mark} ${kernel}, ${name}: ${result.failure ?? `error ${error}, tolerance ${tolerance}`}`;
}

/**
 * The table of a self-test, what the device says of itself, and the kernels that ran.
 *
 * @example
 * ```ts
 * import { wasm } from "@x/tensor";
 * import { formatSelfTest, selfTest } from "@x/kernels-webgpu/self-test";
 *
 * const lines = formatSelfTest(await selfTest(wasm(), { only: "cumsum" })).split("\n");
 * console.log(lines.at(-1)); // → 3 passed, 0 failed
 * ```
 */
export function formatSelfTest(result: SelfTestResult): string {
  const rows = [columns, ...result.cases.map(cellsOf)];
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  // Text to the left, numbers to the right.
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column < 3 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join("  "),
  );
  const failures = result.cases.flatMap((case_) =>
    case_.failure === null ? [] : [`${case_.kernel}, ${case_.name}: ${case_.failure}`],
  );
  const facts = Object.entries(result.info).map(([name, value]) => `${name} ${value}`);
  return [
    `${result.device}: ${facts.join(", ")}`,
    "",
    ...lines,
    ...(failures.length > 0 ? ["", ...failures] : []),
    "",
    `Kernels: ${formatLaunches(result.launches)}`,
    `${result.passed} passed, ${result.failed} failed`,
  ].join("\n");
}
