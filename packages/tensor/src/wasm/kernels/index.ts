/** The native kernels of the CPU device. */

import { KernelTable, type KernelFamily } from "../../plan/kernel-table.js";
import type { NativeKernel } from "../native.js";
import { matmulKernel } from "./gemm/matmul.js";
import { gatherKernel, takeKernel } from "./indexing/pick.js";
import { indexAddKernel, scatterAddKernel, scatterKernel } from "./indexing/scatter.js";
import { concatenateKernel } from "./move/concatenate.js";
import { dynamicSliceKernel } from "./move/dynamic-slice.js";
import { dynamicUpdateKernel } from "./move/dynamic-update.js";
import {
  adamAmsgradKernel,
  adamKernel,
  sgdKernel,
  sgdMomentumKernel,
} from "./optimizer/updates.js";
import { crossEntropyBackwardKernel, crossEntropyKernel } from "./rows/cross-entropy.js";
import {
  layerNormBackwardKernel,
  layerNormKernel,
  rmsNormBackwardKernel,
  rmsNormKernel,
} from "./rows/normalization.js";
import {
  logSoftmaxBackwardKernel,
  logSoftmaxKernel,
  logSumExpKernel,
  softmaxBackwardKernel,
  softmaxKernel,
} from "./rows/softmax.js";

const kernels: readonly NativeKernel[] = [
  adamAmsgradKernel,
  adamKernel,
  concatenateKernel,
  crossEntropyBackwardKernel,
  crossEntropyKernel,
  dynamicSliceKernel,
  dynamicUpdateKernel,
  gatherKernel,
  indexAddKernel,
  layerNormBackwardKernel,
  layerNormKernel,
  logSoftmaxBackwardKernel,
  logSoftmaxKernel,
  logSumExpKernel,
  matmulKernel,
  rmsNormBackwardKernel,
  rmsNormKernel,
  scatterAddKernel,
  scatterKernel,
  sgdKernel,
  sgdMomentumKernel,
  softmaxBackwardKernel,
  softmaxKernel,
  takeKernel,
];

const families: readonly KernelFamily<NativeKernel>[] = [
  {
    ops: ["scaledDotProductAttention", "scaledDotProductAttentionBackward"],
    load: async () => Object.values(await import("./attention/kernel.js")),
  },
  {
    ops: ["cumulativeLinearAttention", "cumulativeLinearAttentionBackward"],
    load: async () => {
      const family = await import("./linear-attention/kernel.js");
      return [
        family.cumulativeLinearAttentionKernel,
        family.cumulativeLinearAttentionBackwardKernel,
      ];
    },
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
    ops: ["cumulativeMax", "cumulativeMin"],
    load: async () => Object.values(await import("./scan/extreme.js")),
  },
  {
    ops: ["cumulativeProduct", "cumulativeSum"],
    load: async () => Object.values(await import("./scan/accumulate.js")),
  },
  { ops: ["sort"], load: async () => [(await import("./sort/sort.js")).sortKernel] },
  { ops: ["topk"], load: async () => [(await import("./sort/topk.js")).topkKernel] },
];

/** Every native kernel; those of large families are loaded when they are first needed. */
export const nativeKernels: KernelTable<NativeKernel> = new KernelTable(kernels, families);
