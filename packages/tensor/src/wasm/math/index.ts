/** Vector mathematics: the functions of fused loops and native kernels in float32 and int32 lanes. */

export { float, integer, type MathContext } from "./context.js";
export { saturateToInt8, signFloat32, signInt32, wrapToInt8 } from "./conversion.js";
export {
  divideInt32,
  divideUint32,
  remainderFloat32,
  remainderInt32,
  remainderUint32,
} from "./division.js";
export { erf } from "./erf.js";
export { exp, expm1, expOfNegative, sigmoid, tanh } from "./exponential.js";
export { narrowToFloat16, widenFloat16 } from "./float16.js";
export { log, log1p } from "./logarithm.js";
export { power } from "./power.js";
export { threefry } from "./threefry.js";
export { cos, sin } from "./trigonometric.js";
