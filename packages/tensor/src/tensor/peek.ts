/** Looking at elements that need no waiting for. */

import type { DataOf } from "./dtype.js";
import { floatsFromHalfs } from "./half.js";
import type { Tensor } from "./tensor.js";

/**
 * The elements of a tensor in row-major order if they are at hand on the JavaScript side, else
 * `null`: nothing is computed and nothing is fetched from a device. For checks that can be made
 * early where the numbers came from JavaScript, such as of masks and indices. The array is a copy.
 *
 * @example
 * ```ts
 * import { peek, tensor } from "@x/tensor";
 *
 * const mask = tensor([0, 1, 2], { dtype: "int32" });
 * console.log(peek(mask)); // → Int32Array(3) [ 0, 1, 2 ]
 * console.log(peek(mask.add(1))); // → null
 * ```
 */
export function peek(tensor: Tensor): Exclude<DataOf, Uint16Array> | null {
  const { storage, version } = tensor.value;
  if (!storage || storage.released || storage.version !== version) return null;
  const { host } = storage;
  if (host === null) return null;
  return host instanceof Uint16Array ? floatsFromHalfs(host) : host.slice();
}
