/** Kernels of optimizer updates. */

export { adamAmsgradKernel, adamKernel, sgdKernel, sgdMomentumKernel } from "./updates.js";
