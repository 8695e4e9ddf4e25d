/** Small functions of one vector: signs and casts between the arithmetic types. */

import { f32x4, i32x4, v128, type V128 } from "../assembler/index.js";
import { float, integer, type MathContext } from "./context.js";

/** -1, 0 or 1 by the sign of float32 lanes; zeros and NaN stay what they are. */
export function signFloat32(c: MathContext, operand: V128): V128 {
  const x = c.f.keep(operand);
  const one = float(c, 1).or(x.and(integer(c, -0x80000000)));
  const nonZero = f32x4.notEqual(f32x4.abs(x), integer(c, 0)).and(f32x4.equal(x, x));
  return v128.bitselect(one, x, nonZero);
}

/** -1, 0 or 1 by the sign of int32 lanes. */
export function signInt32(c: MathContext, operand: V128): V128 {
  const x = c.f.keep(operand);
  return i32x4.shiftRight(x, 31).or(i32x4.shiftRightUnsigned(i32x4.negate(x), 31));
}

/** int32 lanes limited to the range of int8. */
export function saturateToInt8(c: MathContext, x: V128): V128 {
  return i32x4.maximum(i32x4.minimum(x, integer(c, 127)), integer(c, -128));
}

/** int32 lanes wrapped to the range of int8. */
export function wrapToInt8(x: V128): V128 {
  return i32x4.shiftRight(i32x4.shiftLeft(x, 24), 24);
}
