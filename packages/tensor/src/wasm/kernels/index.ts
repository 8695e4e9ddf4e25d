/** The native kernels of the CPU device. */

import type { NativeKernel } from "../native.js";
import { gatherKernel } from "./indexing/gather.js";
import { indexAddKernel } from "./indexing/index-add.js";
import { scatterAddKernel, scatterKernel } from "./indexing/scatter.js";
import { takeKernel } from "./indexing/take.js";
import { concatenateKernel } from "./move/concatenate.js";
import { dynamicSliceKernel } from "./move/dynamic-slice.js";
import { dynamicUpdateKernel } from "./move/dynamic-update.js";

/** Every native kernel, one an operation. */
export const nativeKernels: readonly NativeKernel[] = [
  concatenateKernel,
  dynamicSliceKernel,
  dynamicUpdateKernel,
  gatherKernel,
  indexAddKernel,
  scatterAddKernel,
  scatterKernel,
  takeKernel,
];
