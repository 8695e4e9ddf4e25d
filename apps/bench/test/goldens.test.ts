/** Every golden case of the project on every device. */

import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { deviceNames, openDevice } from "../src/goldens/devices.js";
import { findGoldenFiles } from "../src/goldens/find.js";
import { runGoldenFile } from "../src/goldens/run.js";

const folder = fileURLToPath(new URL("../../../goldens", import.meta.url));
const files = await findGoldenFiles(folder);

test("the project has goldens", () => {
  expect(files.length).toBeGreaterThan(50);
});

describe.each(deviceNames)("goldens on %s", (name) => {
  test.each(files)("$area/$name", async (found) => {
    const { outcome, reasons } = await runGoldenFile(found, await openDevice(name));
    expect({ outcome, reasons }).toEqual({ outcome: "passed", reasons: [] });
  });
});
