/** Every recorded checkpoint of the project on the devices of every machine. */

import { describe, expect, test } from "vitest";
import { defaultDeviceNames, openDevice } from "../src/goldens/devices.js";
import { projectCheckpoints } from "../src/goldens-hf/command.js";
import { findCheckpoints } from "../src/goldens-hf/find.js";
import { runCheckpoint } from "../src/goldens-hf/run.js";

const folders = await findCheckpoints(projectCheckpoints);

test("the project has checkpoints", () => {
  expect(folders.length).toBeGreaterThanOrEqual(5);
});

describe.each(defaultDeviceNames)("checkpoints on %s", (name) => {
  test.each(folders)("$name", async (folder) => {
    const { outcome, reasons, compared } = await runCheckpoint(folder, await openDevice(name));
    expect({ outcome, reasons }).toEqual({ outcome: "passed", reasons: [] });
    expect(compared).toEqual(
      expect.arrayContaining(["saved as miniformer", "saved as huggingface"]),
    );
    expect(compared.length).toBeGreaterThanOrEqual(4);
  });
});
