/**
 * What is done to a model beside training it: low-rank adapters, narrow weights, pruning, distillation,
 * mixtures of experts, and other attention.
 *
 * @module
 */

export { AdaptedLinear, type Adaptation } from "./adapted-linear.js";
export { distillationLoss, type DistillationOptions } from "./distillation.js";
export { auxiliaryLoss, expertParts, type AuxiliaryLossOptions } from "./experts.js";
export {
  addLora,
  loadLora,
  loraStateDict,
  mergeLora,
  removeLora,
  type LoraOptions,
} from "./lora.js";
export {
  MixtureOfExperts,
  type MixtureOfExpertsOptions,
  type Routing,
} from "./mixture-of-experts.js";
export {
  finishPruning,
  prune,
  type PrunedMap,
  type PruneOptions,
  type PruningReport,
} from "./prune.js";
export { QuantizedEmbedding } from "./quantized-embedding.js";
export {
  loadQuantized,
  quantize,
  type NarrowType,
  type QuantizationReport,
  type QuantizedMap,
  type QuantizeOptions,
} from "./quantize.js";
export { retrofit, type RetrofitOptions } from "./retrofit.js";
export { StackedLinear } from "./stacked-linear.js";
export type { MapTargets } from "./targets.js";
