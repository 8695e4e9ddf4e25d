/** `pnpm goldens:hf`: loads published checkpoints and compares with their recorded outputs. */

import { runCommand } from "../recorded/command.js";
import { checkpoints } from "./recordings.js";

process.exitCode = await runCommand(checkpoints, process.argv.slice(2), (line) =>
  console.log(line),
);
