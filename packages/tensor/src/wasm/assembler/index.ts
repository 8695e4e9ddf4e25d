/** The assembler: typed expressions, functions and modules of WebAssembly. */

export type { Expression, I32, I32Like, V128, ValueType } from "./expression.js";
export {
  choose,
  FunctionBuilder,
  type FunctionReference,
  kernelSignature,
  type Local,
  type Signature,
} from "./function.js";
export { f32x4, f64x2, i16x8, i32x4, i8x16 } from "./lanes.js";
export { type MemoryImport, ModuleBuilder, type ModuleOptions } from "./module.js";
export { supportsRelaxedSimd, supportsSimd, supportsSleep, supportsThreads } from "./probe.js";
export { f32, f64, i32, i64, v128 } from "./types.js";
