/** Every golden case of the project on the devices of every machine; `pnpm check gpu-goldens` has the GPU. */

import { describe, expect, test } from "vitest";
import { defaultDeviceNames, openDevice } from "../src/devices.js";
import { goldens } from "../src/goldens/recordings.js";

const cases = await goldens.find(goldens.folder);

test("the project has goldens", () => {
  expect(cases.length).toBeGreaterThan(50);
});

describe.each(defaultDeviceNames)("goldens on %s", (name) => {
  test.each(cases)("$name", async ({ run }) => {
    const { outcome, reasons } = await run(await openDevice(name));
    expect({ outcome, reasons }).toEqual({ outcome: "passed", reasons: [] });
  });
});
