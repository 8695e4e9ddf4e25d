import { fileURLToPath } from "node:url";
import { execa } from "execa";

/** The folder of the workspace. */
export const root: string = fileURLToPath(new URL("../..", import.meta.url));

/** What came of a check. Most checks count as one; test suites count each of their tests. */
export interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  /** Shown even when everything passed. */
  summary?: string;
  /** Shown when something failed. */
  details?: string;
}

/** One line of `npm test`. */
export interface Check {
  /** What selects it on the command line. */
  name: string;
  /** What it assures, for the list printed by `--help`. */
  purpose: string;
  /** It reads the built packages, so it cannot run where the build failed. */
  needsBuild?: true;
  run: (context: Context) => Promise<Outcome>;
}

/** What a check is told about the run. */
export interface Context {
  /** The Node program that tests and consumers run with. */
  node: string;
  /** Whether suites run whole that otherwise run in part, since they take long. */
  readonly thorough: boolean;
}

/** The outcome of a check that succeeds as a whole. */
export function pass(summary?: string): Outcome {
  return { passed: 1, failed: 0, skipped: 0, ...(summary === undefined ? {} : { summary }) };
}

/** The outcome of a check that fails as a whole. */
export function fail(details: string): Outcome {
  return { passed: 0, failed: 1, skipped: 0, details };
}

/** What a finished command left behind. */
export interface CommandResult {
  succeeded: boolean;
  stdout: string;
  stderr: string;
  /** Both streams as they came. */
  output: string;
}

/** Runs a tool of the workspace (or any program), keeping its output. */
export async function command(
  file: string,
  commandArguments: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; timeoutSeconds?: number } = {},
): Promise<CommandResult> {
  const timeoutSeconds = options.timeoutSeconds ?? 600;
  const result = await execa(file, commandArguments, {
    cwd: options.cwd ?? root,
    env: { NO_COLOR: "1", FORCE_COLOR: undefined, ...options.env },
    preferLocal: true,
    localDir: root,
    all: true,
    reject: false,
    stdin: "ignore",
    timeout: timeoutSeconds * 1000,
  });
  const note = result.timedOut
    ? `\n${file} was stopped: it ran for more than ${timeoutSeconds} s.`
    : result.exitCode === undefined
      ? `\n${result.shortMessage ?? `${file} did not start.`}`
      : "";
  return {
    succeeded: result.exitCode === 0,
    stdout: result.stdout,
    stderr: result.stderr,
    output: result.all + note,
  };
}

/** A check that is one command: it passes if the command exits with 0. */
export function commandCheck(
  name: string,
  purpose: string,
  file: string,
  ...commandArguments: string[]
): Check {
  return {
    name,
    purpose,
    async run() {
      const { succeeded, output } = await command(file, commandArguments);
      return succeeded ? pass() : fail(output);
    },
  };
}
