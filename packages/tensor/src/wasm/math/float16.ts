/** float16, kept as 16 bits in memory and as float32 in registers. */

import { f32x4, i32x4, v128, type V128 } from "../assembler/index.js";
import { float, integer, type MathContext } from "./context.js";

/** Four float16 (as the low halves of 32-bit lanes, high halves 0) as float32. Exact. */
export function widenFloat16(c: MathContext, operand: V128): V128 {
  const { f } = c;
  const half = f.keep(operand);
  const magnitude = i32x4.shiftLeft(half.and(integer(c, 0x7fff)), 13);
  // Moves the exponent to its place; this also makes subnormals normal.
  const moved = f.let(f32x4.multiply(magnitude, float(c, 2 ** 112)));
  const special = f32x4.greaterEqual(moved, float(c, 65536)).and(integer(c, 0x7f800000));
  const sign = i32x4.shiftLeft(half.and(integer(c, 0x8000)), 16);
  return moved.or(special).or(sign);
}

/** Four float32 rounded (half to even) to float16, in the low halves of 32-bit lanes. */
export function narrowToFloat16(c: MathContext, operand: V128): V128 {
  const { f } = c;
  const x = f.keep(operand);
  const magnitude = f.let(f32x4.abs(x));
  // Normal results: rebias the exponent, round by adding just under half (or half if odd).
  const odd = i32x4.shiftRightUnsigned(magnitude, 13).and(integer(c, 1));
  const rebias = integer(c, ((15 - 127) << 23) + 0xfff);
  const rounded = i32x4.add(i32x4.add(magnitude, rebias), odd);
  const normal = i32x4.shiftRightUnsigned(rounded, 13);
  // Subnormal results: the addition of 1/2 rounds to multiples of 2^-24, the smallest of them.
  const subnormal = i32x4.subtract(f32x4.add(magnitude, float(c, 0.5)), integer(c, 0x3f000000));
  const isSubnormal = i32x4.less(magnitude, integer(c, 0x38800000));
  const finite = v128.bitselect(subnormal, normal, isSubnormal);
  const notANumber = i32x4.greater(magnitude, integer(c, 0x7f800000)).and(integer(c, 0x200));
  const special = notANumber.or(integer(c, 0x7c00));
  const isSpecial = i32x4.greaterEqual(magnitude, integer(c, 0x47800000));
  const sign = i32x4.shiftRightUnsigned(x, 16).and(integer(c, 0x8000));
  return v128.bitselect(special, finite, isSpecial).or(sign);
}
