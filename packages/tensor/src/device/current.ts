/** The current device: where new tensors live. */

import { wasm } from "../wasm/device.js";
import type { Device } from "./device.js";

let current: Device | null = null;

/**
 * Chooses the device on which new tensors live.
 *
 * @example
 * ```ts
 * import { reference, setDevice, tensor } from "@x/tensor";
 *
 * setDevice(reference()); // exact float64 arithmetic, slow
 * console.log(tensor([1, 2]).device?.name); // → reference
 * ```
 */
export function setDevice(device: Device): void {
  current = device;
}

/** The device on which new tensors live: the built-in CPU device unless another was set. */
export function getDevice(): Device {
  return (current ??= wasm());
}
