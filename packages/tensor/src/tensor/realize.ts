/** Computing several tensors together, and what they take. */

import { getDevice } from "../device/current.js";
import type { Device, MemoryUse } from "../device/device.js";
import { realizeValues } from "../plan/realize.js";
import type { Tensor } from "./tensor.js";

/**
 * Computes all the tensors in one go and keeps the numbers on their device.
 *
 * @example
 * ```ts
 * import { ones, realize } from "@x/tensor";
 *
 * const x = ones([2, 2]).add(1);
 * const y = x.mul(3);
 * await realize(x, y); // one plan computes both
 * console.log(await y.toArray()); // → [ [ 6, 6 ], [ 6, 6 ] ]
 * ```
 */
export function realize(...tensors: readonly Tensor[]): Promise<void> {
  return realizeValues(tensors.map((tensor) => tensor.value));
}

/**
 * Live bytes on a device, by default the current one: what tensors hold, and what plans hold.
 *
 * @example
 * ```ts
 * import { memory, ones } from "@x/tensor";
 *
 * const before = memory().tensors;
 * const x = await ones([1024, 1024]).add(1).realize();
 * console.log(memory().tensors - before, x.size); // → 4194304 1048576
 * ```
 */
export function memory(device: Device = getDevice()): MemoryUse {
  return device.memory();
}
