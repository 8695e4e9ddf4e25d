/** The recorded cases of the original implementations. */

import { fileURLToPath } from "node:url";
import { defaultDeviceNames } from "../devices.js";
import type { Recordings } from "../recorded/command.js";
import { findGoldenFiles } from "./find.js";

/** What `pnpm goldens` compares. */
export const goldens: Recordings = {
  command: "goldens",
  description: "Compares the results of @x with those of the original implementations.",
  folder: fileURLToPath(new URL("../../../../goldens", import.meta.url)),
  holds: "<area>/<case>.safetensors",
  only: "area[/case]",
  devices: defaultDeviceNames,
  find: findGoldenFiles,
};
