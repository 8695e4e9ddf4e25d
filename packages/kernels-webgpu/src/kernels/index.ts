/** The native kernels of the GPU device, by operation. */

import type { NativeKernel } from "../native.js";
import {
  dynamicSliceKernel,
  dynamicUpdateKernel,
  gatherKernel,
  indexAddKernel,
  scatterAddKernel,
  scatterKernel,
  takeKernel,
} from "./indexing/index.js";
import { concatenateKernel } from "./join.js";
import { matmulKernel } from "./matmul/index.js";
import {
  crossEntropyBackwardKernel,
  crossEntropyKernel,
  layerNormBackwardKernel,
  layerNormKernel,
  logSoftmaxBackwardKernel,
  logSoftmaxKernel,
  logSumExpKernel,
  rmsNormBackwardKernel,
  rmsNormKernel,
  softmaxBackwardKernel,
  softmaxKernel,
} from "./rows/index.js";
import {
  cumulativeMaxKernel,
  cumulativeMinKernel,
  cumulativeProductKernel,
  cumulativeSumKernel,
} from "./scan.js";
import { sortKernel } from "./sort.js";
import { adamAmsgradKernel, adamKernel, sgdKernel, sgdMomentumKernel } from "./update/index.js";

/** Every native kernel, by the name of its operation. */
export const nativeKernels: ReadonlyMap<string, NativeKernel> = new Map(
  [
    adamAmsgradKernel,
    adamKernel,
    concatenateKernel,
    crossEntropyBackwardKernel,
    crossEntropyKernel,
    cumulativeMaxKernel,
    cumulativeMinKernel,
    cumulativeProductKernel,
    cumulativeSumKernel,
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
    sortKernel,
    takeKernel,
  ].map((kernel) => [kernel.op, kernel]),
);
