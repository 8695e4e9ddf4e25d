/** Runs the command in this process. */

import { runCommand } from "../src/cli/command.js";

/** What a command said, and exited with. */
export interface Outcome {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

/** Runs the command with some arguments. */
export async function runTheCommand(...args: readonly string[]): Promise<Outcome> {
  let output = "";
  const errors: string[] = [];
  const code = await runCommand(
    args,
    {
      isTerminal: false,
      write: (part) => void (output += part),
      complain: (line) => errors.push(line),
    },
    new AbortController().signal,
  );
  return { code, output, errors: errors.join("\n") };
}
