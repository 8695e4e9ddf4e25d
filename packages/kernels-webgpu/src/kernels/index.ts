/** The native kernels of the GPU device, by operation. */

import type { NativeKernel } from "../native.js";
import { matmulKernel } from "./matmul.js";

/** Every native kernel, by the name of its operation. */
export const nativeKernels: ReadonlyMap<string, NativeKernel> = new Map(
  [matmulKernel].map((kernel) => [kernel.op, kernel]),
);
