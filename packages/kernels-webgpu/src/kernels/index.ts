/** The native kernels of the GPU device, by operation. */

import type { NativeKernel } from "../native.js";
import {
  scaledDotProductAttentionBackwardKernel,
  scaledDotProductAttentionKernel,
} from "./attention/index.js";
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
import { matmulKernel } from "./matmul.js";
import {
  cumulativeMaxKernel,
  cumulativeMinKernel,
  cumulativeProductKernel,
  cumulativeSumKernel,
} from "./scan.js";
import { sortKernel } from "./sort.js";

/** Every native kernel, by the name of its operation. */
export const nativeKernels: ReadonlyMap<string, NativeKernel> = new Map(
  [
    concatenateKernel,
    cumulativeMaxKernel,
    cumulativeMinKernel,
    cumulativeProductKernel,
    cumulativeSumKernel,
    dynamicSliceKernel,
    dynamicUpdateKernel,
    gatherKernel,
    indexAddKernel,
    matmulKernel,
    scaledDotProductAttentionBackwardKernel,
    scaledDotProductAttentionKernel,
    scatterAddKernel,
    scatterKernel,
    sortKernel,
    takeKernel,
  ].map((kernel) => [kernel.op, kernel]),
);
