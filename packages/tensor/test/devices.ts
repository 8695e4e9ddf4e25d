/**
 * The devices that tests run on, also those of other packages: the reference and the CPU, or those
 * that X_TEST_DEVICES names, with commas between them. One that is named and cannot be had is a
 * failure.
 */

import type { Device } from "../src/device/device.js";
import { reference } from "../src/reference/device.js";
import { wasm } from "../src/wasm/device.js";

// Not a package this one depends on: it is looked for only when it is named.
const gpuDevice = new URL("../../kernels-webgpu/test/linted.ts", import.meta.url).href;

const known: Readonly<Record<string, () => Device | Promise<Device>>> = {
  reference,
  wasm: () => wasm(),
  webgpu: async () => {
    const { lintedWebgpu } = (await import(gpuDevice)) as { lintedWebgpu: () => Promise<Device> };
    return lintedWebgpu();
  },
};

async function open(name: string): Promise<readonly [name: string, device: Device]> {
  const make = known[name];
  if (make === undefined) throw new Error(`X_TEST_DEVICES: there is no device "${name}"`);
  return [name, await make()];
}

/** Name and device, for `describe.each`. */
export const devices: readonly (readonly [name: string, device: Device])[] = await Promise.all(
  (process.env.X_TEST_DEVICES ?? "reference,wasm").split(",").map(open),
);
