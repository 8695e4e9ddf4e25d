/** The devices that every test runs on, opened: name and device, for `describe.each`. */

import type { Device } from "@x/tensor";
import { devices as known } from "../../tensor/test/devices.js";

export const devices: readonly (readonly [name: string, device: Device])[] = await Promise.all(
  Object.entries(known).map(async ([name, open]) => [name, await open()] as const),
);
