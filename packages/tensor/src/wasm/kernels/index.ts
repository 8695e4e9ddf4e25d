/** The native kernels of the CPU device. */

import type { NativeKernel } from "../native.js";
import { gatherKernel } from "./indexing/gather.js";
import { indexAddKernel } from "./indexing/index-add.js";
import { scatterAddKernel, scatterKernel } from "./indexing/scatter.js";
import { takeKernel } from "./indexing/take.js";
import { concatenateKernel } from "./move/concatenate.js";
import { dynamicSliceKernel } from "./move/dynamic-slice.js";
import { dynamicUpdateKernel } from "./move/dynamic-update.js";
import {
  logSoftmaxBackwardKernel,
  logSoftmaxKernel,
  logSumExpKernel,
  softmaxBackwardKernel,
  softmaxKernel,
} from "./rows/softmax.js";

const kernels: readonly NativeKernel[] = [
  concatenateKernel,
  dynamicSliceKernel,
  dynamicUpdateKernel,
  gatherKernel,
  indexAddKernel,
  scatterAddKernel,
  scatterKernel,
  logSoftmaxBackwardKernel,
  logSoftmaxKernel,
  logSumExpKernel,
  softmaxBackwardKernel,
  softmaxKernel,
  takeKernel,
];

/** Every native kernel by the name of its operation. */
export const nativeKernels: ReadonlyMap<string, NativeKernel> = new Map(
  kernels.map((kernel) => [kernel.op, kernel]),
);
