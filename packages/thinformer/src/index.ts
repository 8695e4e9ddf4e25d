/**
 * Softmax attention over a thinned coreset of the keys, chosen by kernel halving, and a causal,
 * streaming form of it with a cache of O(√n) entries.
 *
 * @module
 */

export type { Compatibility } from "./compatibility.js";
export type { HalvingDraws, RandomnessOptions } from "./halving/draws.js";
export { expKernel } from "./halving/exp-kernel.js";
export { halveK, type HalveKOptions } from "./halving/halve-k.js";
export { halve, type HalveOptions, type HalveResult } from "./halving/halve.js";
export { log4LargestPowerOfFour } from "./compression/thinning.js";
export type { CoresetOptions } from "./compression/coreset.js";
export { khCompress, type KhCompressResult } from "./compression/kh-compress.js";
export {
  ThinformerAttention,
  type ThinformerAttentionOptions,
  type ThinformerCall,
  type ThinformerResult,
} from "./attention/thinformer-attention.js";
export {
  thinformerAttention,
  ThinformerMechanism,
  type ThinformerMechanismOptions,
} from "./streaming/mechanism.js";
export type { ThinformerState } from "./streaming/state.js";
