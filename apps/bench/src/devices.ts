/** The devices that cases can run on. */

import { reference, wasm, type Device } from "@x/tensor";

const devices: Readonly<Record<string, () => Device | Promise<Device>>> = {
  reference,
  wasm,
  webgpu: async () => (await import("@x/kernels-webgpu")).webgpu(),
};

/** Names of all devices there are. */
export const deviceNames: readonly string[] = Object.keys(devices);

/** Names of those that every machine has. */
export const defaultDeviceNames: readonly string[] = ["reference", "wasm"];

/** The device of that name. */
export async function openDevice(name: string): Promise<Device> {
  const open = devices[name];
  if (open === undefined) {
    throw new Error(
      `--device: a device must be one of ${deviceNames.join(", ")}, got "${name}". Choose one of them.`,
    );
  }
  return open();
}
