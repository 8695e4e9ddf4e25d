/**
 * What a device has to provide, and the planner that devices build on.
 *
 * @module
 */

export type {
  Bindings,
  Device,
  DeviceBuffer,
  Executable,
  MemoryUse,
  ProfileSink,
} from "./device.js";
export type { Graph } from "../graph/graph.js";
export type { Node, Op, Value } from "../graph/node.js";
export type {
  BinaryFunction,
  ComparisonFunction,
  RandomFunction,
  Reducer,
  ScalarFunction,
  UnaryFunction,
} from "../graph/scalar-function.js";
export { featureAttentionInputs, type FeatureAttentionInputs } from "../ops/feature-attention.js";
export type {
  FeatureAttentionBackwardInputs,
  FeatureAttentionSums,
} from "../ops/feature-attention-blocks.js";
export { halvingRounds, halvingTotals, type HalvingRound } from "../ops/kernel-halving.js";
export { linearAttentionInputs, type LinearAttentionInputs } from "../ops/linear-attention.js";
export { dropThreshold } from "../ops/random.js";
export { Gaps, layOut, type ArenaLayout, type Life } from "../plan/arena.js";
export { expandPrimitives } from "../plan/expand.js";
export type {
  Affine,
  ApplyExpression,
  ConstantExpression,
  Expression,
  IndexExpression,
  InsideCondition,
  InsideExpression,
  LoadExpression,
  LoopKernel,
  ReducedExpression,
  ScalarExpression,
  Store,
} from "../plan/loop.js";
export {
  isDense,
  type InputBuffer,
  type LoopStep,
  type NativeStep,
  type NativeSupport,
  type Operand,
  type OutputBuffer,
  type PlanBuffer,
  type Schedule,
  type Step,
  type TemporaryBuffer,
} from "../plan/schedule.js";
export { schedule } from "../plan/scheduler.js";
export { bytesPerElement } from "../tensor/dtype.js";
