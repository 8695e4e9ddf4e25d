/** The checkpoints in published layouts, with what was recorded of them. */

import { fileURLToPath } from "node:url";
import type { Recordings } from "../recorded/command.js";
import { findCheckpoints } from "./find.js";

/** What `pnpm goldens:hf` compares. */
export const checkpoints: Recordings = {
  command: "goldens:hf",
  description: "Loads published checkpoints and compares with their recorded outputs.",
  folder: fileURLToPath(new URL("../../../../goldens-hf", import.meta.url)),
  holds: "a folder for each checkpoint",
  only: "checkpoint",
  devices: ["wasm"],
  find: findCheckpoints,
};
