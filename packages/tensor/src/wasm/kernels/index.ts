/** The native kernels of the CPU device. */

import type { NativeKernel } from "../native.js";
import {
  scaledDotProductAttentionBackwardKernel,
  scaledDotProductAttentionKernel,
} from "./attention/kernel.js";
import {
  featureAttentionBackwardKernel,
  featureAttentionKernel,
} from "./feature-attention/kernel.js";
import { matmulKernel } from "./gemm/matmul.js";
import { gatherKernel, takeKernel } from "./indexing/pick.js";
import { indexAddKernel, scatterAddKernel, scatterKernel } from "./indexing/scatter.js";
import { kernelHalvingKernel } from "./kernel-halving/kernel.js";
import {
  cumulativeLinearAttentionBackwardKernel,
  cumulativeLinearAttentionKernel,
} from "./linear-attention/kernel.js";
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
import { cumulativeProductKernel, cumulativeSumKernel } from "./scan/accumulate.js";
import { cumulativeMaxKernel, cumulativeMinKernel } from "./scan/extreme.js";
import { sortKernel } from "./sort/sort.js";
import { topkKernel } from "./sort/topk.js";

const kernels: readonly NativeKernel[] = [
  adamAmsgradKernel,
  adamKernel,
  concatenateKernel,
  crossEntropyBackwardKernel,
  crossEntropyKernel,
  cumulativeLinearAttentionBackwardKernel,
  cumulativeLinearAttentionKernel,
  cumulativeMaxKernel,
  cumulativeMinKernel,
  cumulativeProductKernel,
  cumulativeSumKernel,
  dynamicSliceKernel,
  dynamicUpdateKernel,
  featureAttentionBackwardKernel,
  featureAttentionKernel,
  gatherKernel,
  indexAddKernel,
  kernelHalvingKernel,
  layerNormBackwardKernel,
  layerNormKernel,
  logSoftmaxBackwardKernel,
  logSoftmaxKernel,
  logSumExpKernel,
  matmulKernel,
  rmsNormBackwardKernel,
  rmsNormKernel,
  scaledDotProductAttentionBackwardKernel,
  scaledDotProductAttentionKernel,
  scatterAddKernel,
  scatterKernel,
  sgdKernel,
  sgdMomentumKernel,
  softmaxBackwardKernel,
  softmaxKernel,
  sortKernel,
  takeKernel,
  topkKernel,
];

/** Every native kernel by the name of its operation. */
export const nativeKernels: ReadonlyMap<string, NativeKernel> = new Map(
  kernels.map((kernel) => [kernel.op, kernel]),
);
