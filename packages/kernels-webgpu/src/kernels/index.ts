/** The native kernels of the GPU device, by operation. */

import { KernelTable, type KernelFamily } from "@x/tensor/device";
import type { NativeKernel } from "../native.js";
import * as indexing from "./indexing/index.js";
import { concatenateKernel } from "./join.js";
import { matmulKernel } from "./matmul/index.js";
import * as rows from "./rows/index.js";
import * as scans from "./scan.js";
import * as updates from "./update/index.js";

const kernels: readonly NativeKernel[] = [
  concatenateKernel,
  ...Object.values(indexing),
  matmulKernel,
  ...Object.values(rows),
  ...Object.values(scans),
  ...Object.values(updates),
];

const families: readonly KernelFamily<NativeKernel>[] = [
  {
    ops: ["scaledDotProductAttention", "scaledDotProductAttentionBackward"],
    load: async () => Object.values(await import("./attention/index.js")),
  },
  {
    ops: ["cumulativeLinearAttention", "cumulativeLinearAttentionBackward"],
    load: async () => Object.values(await import("./linear-attention/kernel.js")),
  },
  {
    ops: ["featureAttention", "featureAttentionBackward"],
    load: async () => Object.values(await import("./feature-attention/kernel.js")),
  },
  {
    ops: ["kernelHalving"],
    load: async () => Object.values(await import("./kernel-halving/kernel.js")),
  },
  {
    ops: ["convolution"],
    load: async () => Object.values(await import("./convolution/index.js")),
  },
  { ops: ["sort"], load: async () => [(await import("./sort.js")).sortKernel] },
];

/** Every native kernel; those of large families are loaded when they are first needed. */
export const nativeKernels: KernelTable<NativeKernel> = new KernelTable(kernels, families);
