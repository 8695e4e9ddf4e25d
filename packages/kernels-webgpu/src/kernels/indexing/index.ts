/** Kernels that read and write at places that are data. */

export { indexAddKernel, scatterAddKernel, scatterKernel } from "./scatter.js";
export { gatherKernel, takeKernel } from "./take.js";
export { dynamicSliceKernel, dynamicUpdateKernel } from "./window.js";
