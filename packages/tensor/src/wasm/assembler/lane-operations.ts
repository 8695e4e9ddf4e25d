/** Building blocks of the vector instructions. */

import { type Code, simd } from "./code.js";
import { V128 } from "./expression.js";

/** An instruction of one vector. */
export function unary(opcode: number, a: V128): V128 {
  return new V128([a, ...simd(opcode)]);
}

/** An instruction of two vectors. */
export function binary(opcode: number, a: V128, b: V128): V128 {
  return new V128([a, b, ...simd(opcode)]);
}

/** An instruction of three vectors. */
export function ternary(opcode: number, a: V128, b: V128, c: V128): V128 {
  return new V128([a, b, c, ...simd(opcode)]);
}

/** The recipe of taking a lane out. */
export function extract(opcode: number, a: V128, lane: number): Code {
  return [a, ...simd(opcode), lane];
}
