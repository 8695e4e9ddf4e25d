/**
 * The GPU device of `@x/tensor`.
 *
 * @module
 */

export type { GpuOptions } from "./adapter/request.js";
export { webgpu } from "./device.js";
