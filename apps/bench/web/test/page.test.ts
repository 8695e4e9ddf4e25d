/** What is special about a page: threads need isolation, and two devices compute side by side. */

import { afterAll, expect, inject, test } from "vitest";
import { getDevice, manualSeed, rand, randn, setDevice, setThreads, wasm } from "@x/tensor";
import { webgpu } from "@x/kernels-webgpu";

declare module "vitest" {
  interface ProvidedContext {
    /** Whether the page is meant to be cross-origin isolated. */
    isolated: boolean;
    /** The areas of the goldens that run on the GPU; `null`: all. */
    areasOnGpu: readonly string[] | null;
  }
}

const before = getDevice();
afterAll(() => setDevice(before));

const cpu = wasm();
const gpu = await webgpu();

test("threads are had where the page is isolated, and one is had elsewhere", async () => {
  expect(crossOriginIsolated).toBe(inject("isolated"));
  setDevice(before);
  expect(setThreads(2)).toBe(inject("isolated") ? 2 : 1);
  const x = await randn([300, 300]).realize();
  const product = await x.matmul(x.t()).data();
  setThreads(1);
  expect(await x.matmul(x.t()).data()).toEqual(product);
});

test("random numbers are the same on both devices, to the last bit", async () => {
  const drawn = [];
  for (const device of [cpu, gpu]) {
    setDevice(device);
    manualSeed(5);
    drawn.push(await rand([1001]).data());
  }
  expect(drawn[1]).toEqual(drawn[0]);
});
