/** Tensors with automatic differentiation, computed lazily on interchangeable devices. */

export { XError, type XErrorCode } from "./error.js";
export {
  getDevice,
  setDevice,
  type Device,
  type DeviceBuffer,
  type KernelTiming,
  type MemoryUse,
} from "./device/device.js";
export { reference } from "./reference/device.js";
export { profile, type Profile } from "./plan/profile.js";
export type { DType } from "./tensor/dtype.js";
export type { NestedArray } from "./tensor/data.js";
export type { Shape } from "./tensor/shape.js";
export type { Operand } from "./tensor/elementwise.js";
export type { Axes, ReduceOptions, ValuesAndIndices, VarianceOptions } from "./tensor/reduce.js";
export type { SliceSpec } from "./tensor/movement.js";
export { Tensor } from "./tensor/tensor.js";
export {
  arange,
  eye,
  fromData,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  tensor,
  zeros,
  zerosLike,
  type TensorOptions,
  type TypedArray,
} from "./tensor/creation.js";
export { broadcastTensors, cat, einsum, meshgrid, stack, where } from "./tensor/joining.js";
export { memory, realize } from "./tensor/realize.js";
export { enableGrad, grad, noGrad, valueAndGrad, type ValueAndGrad } from "./tensor/grad.js";
export { checkpoint } from "./tensor/checkpoint.js";
export { customGradient, type CustomGradientResult } from "./tensor/custom-gradient.js";
export { defineOp, type GradientContext, type OpDefinition } from "./tensor/define-op.js";
export type { Attribute, Attributes, Spec } from "./graph/node.js";
