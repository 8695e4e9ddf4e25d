/** `pnpm goldens:hf`: loads published checkpoints and compares with their recorded outputs. */

import { runCommand } from "./command.js";

process.exitCode = await runCommand(process.argv.slice(2), (line) => console.log(line));
