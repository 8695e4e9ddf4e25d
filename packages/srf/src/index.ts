/**
 * Simplex random feature attention: linear time in training, constant memory in generation.
 *
 * @module
 */

export {
  independentRandomMatrix,
  orthogonalRandomMatrix,
  simplexRandomMatrix,
  type RandomMatrixOptions,
  type SimplexDraws,
  type SimplexRandomMatrixOptions,
} from "./features/random-matrix.js";
export { orthogonalMatrixChunkHadamard, type HadamardOptions } from "./features/orthogonal.js";
export { computeSimplexDir, simplexDirections, type SimplexOptions } from "./features/simplex.js";
export {
  softmaxKernel,
  type HeadLayout,
  type SoftmaxKernelOptions,
  type SoftmaxKernelResult,
} from "./kernel/softmax-kernel.js";
export { lowMemAttn, type LowMemAttnOptions } from "./attention/low-mem-attn.js";
