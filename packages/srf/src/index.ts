/**
 * Simplex random feature attention: linear time in training, constant memory in generation.
 *
 * @module
 */

export {
  drawFeatures,
  featureKinds,
  independentRandomMatrix,
  orthogonalRandomMatrix,
  simplexRandomMatrix,
  type FeatureKind,
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
export type { Compatibility } from "./attention/compatibility.js";
export {
  FastAttention,
  type AttnFn,
  type FastAttentionCall,
  type FastAttentionOptions,
  type PrefillForm,
  type PrefillOptions,
  type SrfPrefill,
} from "./attention/fast-attention.js";
export { Attention, type AttentionModuleOptions } from "./attention/attention.js";
export type { SrfState } from "./state/srf-state.js";
export { srfAttention, type SrfAttentionOptions } from "./mechanism/srf-attention.js";
export { retrofit, retrofitModel, type RetrofitModelOptions } from "./retrofit/retrofit.js";
export {
  RetrofittedAttention,
  type RetrofitOptions,
  type RetrofittedCall,
} from "./retrofit/retrofitted-attention.js";
