/** `pnpm goldens`: computes the recorded cases again and compares. */

import { runCommand } from "../recorded/command.js";
import { goldens } from "./recordings.js";

process.exitCode = await runCommand(goldens, process.argv.slice(2), (line) => console.log(line));
