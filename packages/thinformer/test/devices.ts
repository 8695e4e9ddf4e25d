/**
 * The devices that every test runs on: the reference and the built-in one, or those that
 * X_TEST_DEVICES names, with commas between them.
 */

import { reference, wasm, type Device } from "@x/tensor";

// Not a package this one depends on: it is looked for only when it is named.
const gpuDevice = new URL("../../kernels-webgpu/test/linted.ts", import.meta.url).href;

async function open(name: string): Promise<Device> {
  if (name === "reference") return reference();
  if (name === "wasm") return wasm();
  if (name !== "webgpu") throw new Error(`X_TEST_DEVICES: there is no device "${name}"`);
  const { lintedWebgpu } = (await import(gpuDevice)) as { lintedWebgpu: () => Promise<Device> };
  return lintedWebgpu();
}

/** Name and device, for `describe.each`. */
export const devices: readonly (readonly [name: string, device: Device])[] = [];
for (const name of (process.env.X_TEST_DEVICES ?? "reference,wasm").split(",")) {
  (devices as [string, Device][]).push([name, await open(name)]);
}
