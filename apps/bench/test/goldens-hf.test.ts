/** Every recorded checkpoint of the project on the devices of every machine. */

import { describe, expect, test } from "vitest";
import { defaultDeviceNames, openDevice } from "../src/devices.js";
import { checkpoints } from "../src/goldens-hf/recordings.js";

const cases = await checkpoints.find(checkpoints.folder);

test("the project has checkpoints", () => {
  expect(cases.length).toBeGreaterThanOrEqual(5);
});

describe.each(defaultDeviceNames)("checkpoints on %s", (name) => {
  test.each(cases)("$name", async ({ run }) => {
    const { outcome, reasons, compared } = await run(await openDevice(name));
    expect({ outcome, reasons }).toEqual({ outcome: "passed", reasons: [] });
    expect(compared).toEqual(
      expect.arrayContaining(["saved as miniformer", "saved as huggingface"]),
    );
    expect(compared!.length).toBeGreaterThanOrEqual(4);
  });
});
