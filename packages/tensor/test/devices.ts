/**
 * The devices that tests run on: the reference and the CPU, or those that X_TEST_DEVICES names, with
 * commas between them. One that is named and cannot be had is a failure.
 */

import type { Device } from "../src/device/device.js";
import { reference } from "../src/reference/device.js";
import { wasm } from "../src/wasm/device.js";

// Not a package this one depends on: it is looked for only when it is named.
const gpuPackage = new URL("../../kernels-webgpu/src/index.ts", import.meta.url).href;

const known: Readonly<Record<string, () => Device | Promise<Device>>> = {
  reference,
  wasm: () => wasm(),
  webgpu: async () => {
    const { webgpu } = (await import(gpuPackage)) as { webgpu: () => Promise<Device> };
    return webgpu();
  },
};

const names = (process.env.X_TEST_DEVICES ?? "reference,wasm").split(",");

/** Every device to test, by name. */
export const devices: Readonly<Record<string, () => Device | Promise<Device>>> = Object.fromEntries(
  names.map((name) => {
    const open = known[name];
    if (open === undefined) throw new Error(`X_TEST_DEVICES: there is no device "${name}"`);
    let device: Device | Promise<Device> | null = null;
    return [name, () => (device ??= open())];
  }),
);
