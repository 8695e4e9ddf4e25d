/** The devices that tests run on. */

import type { Device } from "../src/device/device.js";
import { reference } from "../src/reference/device.js";
import { wasm } from "../src/wasm/device.js";

/** Every device there is, by name. */
export const devices: Readonly<Record<string, () => Device | Promise<Device>>> = {
  reference,
  wasm: () => wasm(),
};
