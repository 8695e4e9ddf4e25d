/**
 * Vector instructions on floating-point lanes: `f32x4`, `f64x2`.
 *
 * The opcodes of the shapes follow the same pattern from different bases, so one class and a few
 * numbers per shape say it all.
 */

import { simd } from "./code.js";
import { F32, F64, V128 } from "./expression.js";
import { binary, extract, ternary, unary } from "./lane-operations.js";

// Opcodes of a float shape where they do not follow from the bases.
interface FloatOpcodes {
  readonly base: number;
  readonly compare: number;
  readonly rounding: { ceil: number; floor: number; trunc: number; nearest: number };
  readonly relaxed: number;
  readonly relaxedMinimum: number;
}

class FloatLanes {
  private readonly opcodes: FloatOpcodes;

  constructor(opcodes: FloatOpcodes) {
    this.opcodes = opcodes;
  }

  /** The magnitude of each lane. */
  abs(a: V128): V128 {
    return unary(this.opcodes.base, a);
  }
  /** Each lane with its sign turned. */
  negate(a: V128): V128 {
    return unary(this.opcodes.base + 1, a);
  }
  /** Square roots. */
  sqrt(a: V128): V128 {
    return unary(this.opcodes.base + 3, a);
  }
  /** `a + b`. */
  add(a: V128, b: V128): V128 {
    return binary(this.opcodes.base + 4, a, b);
  }
  /** `a - b`. */
  subtract(a: V128, b: V128): V128 {
    return binary(this.opcodes.base + 5, a, b);
  }
  /** `a * b`. */
  multiply(a: V128, b: V128): V128 {
    return binary(this.opcodes.base + 6, a, b);
  }
  /** `a / b`. */
  divide(a: V128, b: V128): V128 {
    return binary(this.opcodes.base + 7, a, b);
  }
  /** The smaller, NaN if either is NaN (several machine instructions). */
  minimum(a: V128, b: V128): V128 {
    return binary(this.opcodes.base + 8, a, b);
  }
  /** The larger, NaN if either is NaN (several machine instructions). */
  maximum(a: V128, b: V128): V128 {
    return binary(this.opcodes.base + 9, a, b);
  }
  /** `b < a ? b : a`, one machine instruction. */
  pseudoMinimum(a: V128, b: V128): V128 {
    return binary(this.opcodes.base + 10, a, b);
  }
  /** `a < b ? b : a`, one machine instruction. */
  pseudoMaximum(a: V128, b: V128): V128 {
    return binary(this.opcodes.base + 11, a, b);
  }
  /** `a == b` as a lane mask. */
  equal(a: V128, b: V128): V128 {
    return binary(this.opcodes.compare, a, b);
  }
  /** `a != b` as a lane mask; set for NaN. */
  notEqual(a: V128, b: V128): V128 {
    return binary(this.opcodes.compare + 1, a, b);
  }
  /** `a < b` as a lane mask. */
  less(a: V128, b: V128): V128 {
    return binary(this.opcodes.compare + 2, a, b);
  }
  /** `a > b` as a lane mask. */
  greater(a: V128, b: V128): V128 {
    return binary(this.opcodes.compare + 3, a, b);
  }
  /** `a <= b` as a lane mask. */
  lessEqual(a: V128, b: V128): V128 {
    return binary(this.opcodes.compare + 4, a, b);
  }
  /** `a >= b` as a lane mask. */
  greaterEqual(a: V128, b: V128): V128 {
    return binary(this.opcodes.compare + 5, a, b);
  }
  /** The smallest integers not below. */
  ceil(a: V128): V128 {
    return unary(this.opcodes.rounding.ceil, a);
  }
  /** The largest integers not above. */
  floor(a: V128): V128 {
    return unary(this.opcodes.rounding.floor, a);
  }
  /** The integer parts. */
  trunc(a: V128): V128 {
    return unary(this.opcodes.rounding.trunc, a);
  }
  /** The nearest integers, half to even. */
  nearest(a: V128): V128 {
    return unary(this.opcodes.rounding.nearest, a);
  }
  /** `a * b + c`, fused where the machine can. Relaxed SIMD only; see `ModuleBuilder.madd`. */
  relaxedMadd(a: V128, b: V128, c: V128): V128 {
    return ternary(this.opcodes.relaxed, a, b, c);
  }
  /** `c - a * b`, fused where the machine can. Relaxed SIMD only; see `ModuleBuilder.nmadd`. */
  relaxedNmadd(a: V128, b: V128, c: V128): V128 {
    return ternary(this.opcodes.relaxed + 1, a, b, c);
  }
  /** The smaller; either operand at NaN or zeros of both signs. Relaxed SIMD only. */
  relaxedMinimum(a: V128, b: V128): V128 {
    return binary(this.opcodes.relaxedMinimum, a, b);
  }
  /** The larger; either operand at NaN or zeros of both signs. Relaxed SIMD only. */
  relaxedMaximum(a: V128, b: V128): V128 {
    return binary(this.opcodes.relaxedMinimum + 1, a, b);
  }
}

class F32x4 extends FloatLanes {
  /** One value in all lanes; a number becomes a vector constant. */
  splat(a: F32 | number): V128 {
    return typeof a === "number" ? this.const(a, a, a, a) : new V128([a, ...simd(19)]);
  }
  /** A constant vector. */
  const(a: number, b: number, c: number, d: number): V128 {
    return new V128([...simd(12), ...new Uint8Array(new Float32Array([a, b, c, d]).buffer)]);
  }
  /** The value of one lane. */
  extractLane(a: V128, lane: number): F32 {
    return new F32(extract(31, a, lane));
  }
  /** `a` with one lane replaced. */
  replaceLane(a: V128, lane: number, value: F32): V128 {
    return new V128([a, value, ...simd(32), lane]);
  }
  /** From int32 lanes. */
  convertI32x4(a: V128): V128 {
    return unary(250, a);
  }
  /** From uint32 lanes. */
  convertI32x4Unsigned(a: V128): V128 {
    return unary(251, a);
  }
  /** Two float64 lanes rounded into the low lanes; the high lanes are 0. */
  demoteF64x2Zero(a: V128): V128 {
    return unary(94, a);
  }
}

class F64x2 extends FloatLanes {
  /** One value in both lanes; a number becomes a vector constant. */
  splat(a: F64 | number): V128 {
    return typeof a === "number" ? this.const(a, a) : new V128([a, ...simd(20)]);
  }
  /** A constant vector. */
  const(a: number, b: number): V128 {
    return new V128([...simd(12), ...new Uint8Array(new Float64Array([a, b]).buffer)]);
  }
  /** The value of one lane. */
  extractLane(a: V128, lane: number): F64 {
    return new F64(extract(33, a, lane));
  }
  /** `a` with one lane replaced. */
  replaceLane(a: V128, lane: number, value: F64): V128 {
    return new V128([a, value, ...simd(34), lane]);
  }
  /** The two low float32 lanes, widened. */
  promoteLowF32x4(a: V128): V128 {
    return unary(95, a);
  }
  /** The two low int32 lanes. */
  convertLowI32x4(a: V128): V128 {
    return unary(254, a);
  }
  /** The two low uint32 lanes. */
  convertLowI32x4Unsigned(a: V128): V128 {
    return unary(255, a);
  }
}

/** Four float32 lanes. */
export const f32x4: F32x4 = new F32x4({
  base: 224,
  compare: 65,
  rounding: { ceil: 103, floor: 104, trunc: 105, nearest: 106 },
  relaxed: 261,
  relaxedMinimum: 269,
});

/** Two float64 lanes. */
export const f64x2: F64x2 = new F64x2({
  base: 236,
  compare: 71,
  rounding: { ceil: 116, floor: 117, trunc: 122, nearest: 148 },
  relaxed: 263,
  relaxedMinimum: 271,
});
