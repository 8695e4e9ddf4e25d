import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command, fail, pass, type Context, type Outcome } from "./check.js";

/** What is used of vitest's JSON report. */
interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; assertionResults: unknown[] }[];
}

/** Runs every test of the workspace from source, and counts them. */
export async function runTests({ node, thorough }: Context): Promise<Outcome> {
  return runVitest(node, ["--maxWorkers=2"], environmentOf(thorough));
}

/** Tells tests that there is time for more of what they do by chance, or again and again. */
function environmentOf(thorough: boolean): Record<string, string> {
  return thorough ? { X_THOROUGH: "yes" } : {};
}

/** The suites that run on whichever device is named. */
export const suitesOfDevices: readonly string[] = [
  "packages/tensor/test/differential.test.ts",
  "packages/tensor/test/attention.test.ts",
  "packages/tensor/src/nn",
  "packages/tensor/src/optim",
  "packages/srf/src/attention",
  "packages/trim/src",
  "packages/thinformer/src",
  "packages/linear-attn/test",
  "packages/miniformer/src/model",
  "packages/miniformer/src/generation",
  "packages/miniformer/src/adaptation",
  "apps/bench/test/mechanisms.test.ts",
  "apps/bench/test/miniformer-decoding.test.ts",
  "apps/bench/test/learning.test.ts",
];

/** Those that reach every kernel of attention and random programs: what there is time for every day. */
const suitesOfEveryDay: readonly string[] = [
  "packages/tensor/test/differential.test.ts",
  "packages/tensor/test/attention.test.ts",
  "apps/bench/test/mechanisms.test.ts",
];

/**
 * Runs suites of devices on the GPU device, with fewer random programs than on the CPU: all of them, or
 * those of every day. Without a GPU it is the compiler of its replacement that takes the time.
 */
export async function runTestsOnGpu({ node, thorough }: Context): Promise<Outcome> {
  const suites = thorough ? suitesOfDevices : suitesOfEveryDay;
  const env = {
    X_TEST_DEVICES: "webgpu",
    DIFFERENTIAL_PROGRAMS: thorough ? "500" : "100",
    DIFFERENTIAL_ATTENTIONS: thorough ? "200" : "30",
  };
  const options = [...suites, "--testTimeout=600000", "--maxWorkers=2"];
  return runVitest(node, options, env, thorough ? 5400 : 1800);
}

/** Areas of the goldens that reach every operation: what there is time for every day. */
export const areasOfEveryDay: readonly string[] = ["ops", "trim"];

/** Compares the GPU device with the originals: all of them, or those of every day. */
export async function runGoldensOnGpu({ thorough }: Context): Promise<Outcome> {
  const areas = thorough ? [] : areasOfEveryDay.flatMap((area) => ["--only", area]);
  const { succeeded, output } = await command("pnpm", ["goldens", "--device", "webgpu", ...areas]);
  return succeeded ? pass(thorough ? "all areas" : areasOfEveryDay.join(", ")) : fail(output);
}

/** Runs the suites of devices in pages of a browser, on the packages as built. */
export async function runTestsInBrowser({ node, thorough }: Context): Promise<Outcome> {
  const config = ["--config=scripts/check/browser/vitest.config.ts"];
  return runVitest(node, config, environmentOf(thorough));
}

async function runVitest(
  node: string,
  chosen: readonly string[],
  env: Record<string, string> = {},
  timeoutSeconds: number = 1800,
): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "x-tests-"));
  try {
    const reportFile = join(folder, "report.json");
    const vitest = ["node_modules/vitest/vitest.mjs", "run", "--reporter=default"];
    const { succeeded, output } = await command(
      node,
      [...vitest, "--reporter=json", `--outputFile.json=${reportFile}`, ...chosen],
      { env, timeoutSeconds },
    );
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
