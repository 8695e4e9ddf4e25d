#!/usr/bin/env node
/** The command `miniformer`. */

import { runCommand } from "./command.js";

const interrupt = new AbortController();
process.on("SIGINT", () => {
  // A second Ctrl-C does not wait.
  if (interrupt.signal.aborted) process.exit(130);
  interrupt.abort();
});
// Whoever reads the output may stop early, such as `head`.
process.stdout.on("error", (error: Error & { readonly code?: string }) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await runCommand(
  process.argv.slice(2),
  {
    isTerminal: process.stderr.isTTY,
    write: (text) => void process.stdout.write(text),
    complain: (line) => void process.stderr.write(`${line}\n`),
  },
  interrupt.signal,
);
