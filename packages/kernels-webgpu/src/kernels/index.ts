/** The native kernels of the GPU device, by operation. */

import type { Node } from "@x/tensor/device";
import type { NativeKernel } from "../native.js";
import * as attention from "./attention/index.js";
import { convolutionKernel } from "./convolution/index.js";
import * as featureAttention from "./feature-attention/kernel.js";
import * as indexing from "./indexing/index.js";
import { concatenateKernel } from "./join.js";
import { kernelHalvingKernel } from "./kernel-halving/kernel.js";
import * as linearAttention from "./linear-attention/kernel.js";
import { matmulKernel } from "./matmul/index.js";
import * as rows from "./rows/index.js";
import * as scans from "./scan.js";
import { sortKernel } from "./sort.js";
import * as updates from "./update/index.js";

/** Every native kernel, by the name of its operation. */
export const nativeKernels: ReadonlyMap<string, NativeKernel> = new Map(
  [
    ...Object.values(attention),
    concatenateKernel,
    convolutionKernel,
    ...Object.values(featureAttention),
    ...Object.values(indexing),
    kernelHalvingKernel,
    ...Object.values(linearAttention),
    matmulKernel,
    ...Object.values(rows),
    ...Object.values(scans),
    sortKernel,
    ...Object.values(updates),
  ].map((kernel) => [kernel.op, kernel]),
);

/** The kernel that does a node, if there is one. */
export function kernelFor(node: Node): NativeKernel | undefined {
  const kernel = nativeKernels.get(node.op.name);
  return kernel?.supports?.(node) === false ? undefined : kernel;
}
