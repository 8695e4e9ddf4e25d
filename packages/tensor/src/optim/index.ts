/**
 * Optimizers: updates of parameters, limits for gradients, schedules of learning rates.
 *
 * @module
 */

export { Adam, AdamW } from "./adam.js";
export type { AdamOptions } from "./adam.js";
export { clipGradNorm, clipGradValue } from "./clipping.js";
export type { ClipGradNormOptions } from "./clipping.js";
export { Optimizer } from "./optimizer.js";
export type { OptimizerParameters, ParameterGroup, ParameterGroupInput } from "./optimizer.js";
export { CosineAnnealingLR, CosineAnnealingWarmRestarts } from "./schedules/cosine.js";
export type { CosineOptions, WarmRestartsOptions } from "./schedules/cosine.js";
export { OneCycleLR } from "./schedules/one-cycle.js";
export type { OneCycleOptions } from "./schedules/one-cycle.js";
export { LearningRateSchedule } from "./schedules/schedule.js";
export type { ScheduledOptimizer, ScheduleState } from "./schedules/schedule.js";
export {
  ConstantLR,
  ExponentialLR,
  LambdaLR,
  LinearLR,
  MultiStepLR,
  PolynomialLR,
  SequentialLR,
  StepLR,
} from "./schedules/simple.js";
export type {
  ConstantOptions,
  ExponentialOptions,
  LinearOptions,
  MultiStepOptions,
  PolynomialOptions,
  SequentialOptions,
  StepOptions,
} from "./schedules/simple.js";
export { WarmupConstantLR, WarmupCosineLR, WarmupLinearLR } from "./schedules/warmup.js";
export type { WarmupConstantOptions, WarmupOptions } from "./schedules/warmup.js";
export { SGD } from "./sgd.js";
export type { SGDOptions } from "./sgd.js";
export { packOptimizerState, unpackOptimizerState } from "./state-dict.js";
export type {
  OptimizerStateDict,
  OptionValue,
  PackedOptimizerState,
  ParameterGroupDict,
  ParameterStateDict,
} from "./state-dict.js";
