/// <reference types="vite/client" />
/** Every golden case of the project, in a page. */

import { describe, expect, inject, test } from "vitest";
import { openDevice } from "../../src/goldens/devices.js";
import { runGoldenFile, type FoundFile } from "../../src/goldens/run.js";

const addresses = import.meta.glob<string>("../../../../goldens/*/*.safetensors", {
  query: "?url",
  import: "default",
  eager: true,
});
const files = Object.entries(addresses).map(([path, address]): FoundFile => {
  const [, area, name] = /([^/]+)\/([^/]+)\.safetensors$/.exec(path)!;
  const read = async (): Promise<Uint8Array<ArrayBuffer>> =>
    new Uint8Array(await (await fetch(address)).arrayBuffer());
  return { area: area!, name: name!, read };
});

test("the project has goldens", () => {
  expect(files.length).toBeGreaterThan(50);
});

// To the GPU, pages are alike.
const devices = inject("isolated") ? ["wasm", "webgpu"] : ["wasm"];

describe.each(devices)("goldens on %s", async (name) => {
  const device = await openDevice(name);
  test.each(files)("$area/$name", async (found) => {
    const { outcome, reasons } = await runGoldenFile(found, device);
    expect({ outcome, reasons }).toEqual({ outcome: "passed", reasons: [] });
  });
});
