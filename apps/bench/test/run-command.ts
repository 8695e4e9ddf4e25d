/** Running the commands that compare with what was recorded, and reading their lines. */

import { runCommand, type Recordings } from "../src/recorded/command.js";

/** What a command ended with, and printed. */
export interface CommandRun {
  readonly code: number;
  readonly lines: readonly string[];
}

/** Runs the command of recordings with some arguments. */
export function runIn(recordings: Recordings): (...args: string[]) => Promise<CommandRun> {
  return async (...args) => {
    const lines: string[] = [];
    const code = await runCommand(recordings, args, (line) => lines.push(line));
    return { code, lines };
  };
}
