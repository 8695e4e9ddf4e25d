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
import {
  cumulativeLinearAttentionBackwardKernel,
  cumulativeLinearAttentionKernel,
} from "./linear-attention/kernel.js";
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
    cumulativeLinearAttentionBackwardKernel,
    cumulativeLinearAttentionKernel,
    cumulativeMaxKernel,
    cumulativeMinKernel,
    cumulativeProductKernel,
    cumulativeSumKernel,
    dynamicSliceKernel,
    dynamicUpdateKernel,
    gatherKernel,
    indexAddKernel,
    matmulKernel,
    scatterAddKernel,
    scatterKernel,
    sortKernel,
    takeKernel,
  ].map((kernel) => [kernel.op, kernel]),
);
