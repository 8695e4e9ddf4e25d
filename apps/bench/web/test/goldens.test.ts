/// <reference types="vite/client" />
/** Every golden case of the project, in a page. */

import { describe, expect, inject, test } from "vitest";
import { openDevice } from "../../src/devices.js";
import { goldenCase } from "../../src/goldens/run.js";

const addresses = import.meta.glob<string>("../../../../goldens/*/*.safetensors", {
  query: "?url",
  import: "default",
  eager: true,
});
const cases = Object.entries(addresses).map(([path, address]) => {
  const [, area, name] = /([^/]+)\/([^/]+)\.safetensors$/.exec(path)!;
  const golden = goldenCase(area!, name!, async () => {
    return new Uint8Array(await (await fetch(address)).arrayBuffer());
  });
  return { area: area!, ...golden };
});

test("the project has goldens", () => {
  expect(cases.length).toBeGreaterThan(50);
});

// To the GPU, pages are alike.
const devices = inject("isolated") ? ["wasm", "webgpu"] : ["wasm"];
const areasOnGpu = inject("areasOnGpu");

describe.each(devices)("goldens on %s", async (name) => {
  const device = await openDevice(name);
  const chosen = cases.filter(
    ({ area }) => name !== "webgpu" || areasOnGpu === null || areasOnGpu.includes(area),
  );
  test.each(chosen)("$name", async ({ run }) => {
    const { outcome, reasons } = await run(device);
    expect({ outcome, reasons }).toEqual({ outcome: "passed", reasons: [] });
  });
});
