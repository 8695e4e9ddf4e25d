/** Kernels that work on rows. */

export { crossEntropyBackwardKernel, crossEntropyKernel } from "./cross-entropy.js";
export { layerNormKernel, rmsNormKernel } from "./normalization.js";
export { layerNormBackwardKernel, rmsNormBackwardKernel } from "./normalization-backward.js";
export {
  logSoftmaxBackwardKernel,
  logSoftmaxKernel,
  logSumExpKernel,
  softmaxBackwardKernel,
  softmaxKernel,
} from "./softmax.js";
