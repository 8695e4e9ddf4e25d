/** The devices that every test runs on. */

import { getDevice, reference, type Device } from "@x/tensor";

/** Name and device, for `describe.each`: the reference and the built-in one. */
export const devices: readonly (readonly [name: string, device: Device])[] = [
  reference(),
  getDevice(),
].map((device) => [device.name, device] as const);
