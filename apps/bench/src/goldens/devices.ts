/** The devices that cases can run on. */

import { reference, wasm, type Device } from "@x/tensor";

const devices: Readonly<Record<string, () => Device | Promise<Device>>> = {
  reference,
  wasm,
};

/** Names of all devices there are. */
export const deviceNames: readonly string[] = Object.keys(devices);

/** The device of that name. */
export async function openDevice(name: string): Promise<Device> {
  const open = devices[name];
  if (open === undefined) {
    throw new Error(`--device: a device must be one of ${deviceNames.join(", ")}, got "${name}". Choose one of them.`);
  }
  return open();
}
