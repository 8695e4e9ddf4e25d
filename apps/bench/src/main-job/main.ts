/** The main job: what `npm start` runs. */

import { runCommand } from "./command.js";

const interrupt = new AbortController();
process.on("SIGINT", () => {
  // A second Ctrl-C does not wait.
  if (interrupt.signal.aborted) process.exit(130);
  interrupt.abort();
});

process.exitCode = await runCommand(
  process.argv.slice(2),
  {
    write: (text) => void process.stdout.write(text),
    complain: (line) => console.error(line),
  },
  interrupt.signal,
);
