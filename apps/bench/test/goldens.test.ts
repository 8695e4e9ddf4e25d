/** Every golden case of the project on the devices of every machine; `pnpm check gpu-goldens` has the GPU. */

import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { defaultDeviceNames, openDevice } from "../src/goldens/devices.js";
import { findGoldenFiles } from "../src/goldens/find.js";
import { runGoldenFile } from "../src/goldens/run.js";

const folder = fileURLToPath(new URL("../../../goldens", import.meta.url));
const files = await findGoldenFiles(folder);

test("the project has goldens", () => {
  expect(files.length).toBeGreaterThan(50);
});

describe.each(defaultDeviceNames)("goldens on %s", (name) => {
  test.each(files)("$area/$name", async (found) => {
    const { outcome, reasons } = await runGoldenFile(found, await openDevice(name));
    expect({ outcome, reasons }).toEqual({ outcome: "passed", reasons: [] });
  });
});
