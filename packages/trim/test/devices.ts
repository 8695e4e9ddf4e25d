/**
 * The devices that every test runs on: the reference and the built-in one, or those that
 * X_TEST_DEVICES names, with commas between them.
 */

import { reference, wasm, type Device } from "@x/tensor";

// Not a package this one depends on: it is looked for only when it is named.
const gpuPackage = new URL("../../kernels-webgpu/src/index.ts", import.meta.url).href;

async function open(name: string): Promise<Device> {
  if (name === "reference") return reference();
  if (name === "wasm") return wasm();
  if (name !== "webgpu") throw new Error(`X_TEST_DEVICES: there is no device "${name}"`);
  const { webgpu } = (await import(gpuPackage)) as { webgpu: () => Promise<Device> };
  return webgpu();
}

/** Name and device, for `describe.each`. */
export const devices: readonly (readonly [name: string, device: Device])[] = [];
for (const name of (process.env.X_TEST_DEVICES ?? "reference,wasm").split(",")) {
  (devices as [string, Device][]).push([name, await open(name)]);
}
