/** Scaled dot-product attention. */

export { scaledDotProductAttentionBackwardKernel } from "./backward.js";
export { scaledDotProductAttentionKernel } from "./forward.js";
