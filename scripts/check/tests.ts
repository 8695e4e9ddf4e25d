import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command, type Context, type Outcome } from "./check.js";

/** What is used of vitest's JSON report. */
interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; assertionResults: unknown[] }[];
}

/** Runs every test of the workspace from source, and counts them. */
export async function runTests({ node }: Context): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "x-tests-"));
  try {
    const reportFile = join(folder, "report.json");
    const vitest = ["node_modules/vitest/vitest.mjs", "run", "--reporter=default"];
    const { succeeded, output } = await command(node, [
      ...vitest,
      "--reporter=json",
      `--outputFile.json=${reportFile}`,
    ]);
    const report = await readFile(reportFile, "utf8").then(
      (text) => JSON.parse(text) as Report,
      () => undefined,
    );
    if (!report) return { passed: 0, failed: 1, skipped: 0, details: output };
    // A file that could not be loaded has no tests of its own, yet it failed.
    const brokenFiles = report.testResults.filter(
      (file) => file.status === "failed" && file.assertionResults.length === 0,
    ).length;
    const failed = report.numFailedTests + brokenFiles;
    return {
      passed: report.numPassedTests,
      // An error outside of any test makes vitest fail too.
      failed: failed === 0 && !succeeded ? 1 : failed,
      skipped: report.numPendingTests + report.numTodoTests,
      summary: `${report.testResults.length} files`,
      details: output,
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}
