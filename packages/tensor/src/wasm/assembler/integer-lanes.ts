/**
 * Vector instructions on integer lanes: `i8x16`, `i16x8`, `i32x4`.
 *
 * The opcodes of the shapes follow the same pattern from different bases, so a class per family
 * and a few numbers per shape say it all.
 */

import { simd } from "./code.js";
import { I32, type I32Like, V128 } from "./expression.js";
import { binary, extract, unary } from "./lane-operations.js";

class IntegerLanes {
  protected readonly base: number;

  constructor(base: number) {
    this.base = base;
  }

  /** The magnitude of each lane. */
  abs(a: V128): V128 {
    return unary(this.base, a);
  }
  /** `-a`. */
  negate(a: V128): V128 {
    return unary(this.base + 1, a);
  }
  /** Whether no lane is 0. */
  allTrue(a: V128): I32 {
    return new I32([a, ...simd(this.base + 3)]);
  }
  /** The sign bits of the lanes, lane 0 lowest. */
  bitmask(a: V128): I32 {
    return new I32([a, ...simd(this.base + 4)]);
  }
  /** All lanes shifted to the left by the same count. */
  shiftLeft(a: V128, count: I32Like): V128 {
    return new V128([a, I32.from(count), ...simd(this.base + 11)]);
  }
  /** All lanes shifted to the right by the same count, keeping the sign. */
  shiftRight(a: V128, count: I32Like): V128 {
    return new V128([a, I32.from(count), ...simd(this.base + 12)]);
  }
  /** All lanes shifted to the right by the same count, filling with zeros. */
  shiftRightUnsigned(a: V128, count: I32Like): V128 {
    return new V128([a, I32.from(count), ...simd(this.base + 13)]);
  }
  /** `a + b`. */
  add(a: V128, b: V128): V128 {
    return binary(this.base + 14, a, b);
  }
  /** `a - b`. */
  subtract(a: V128, b: V128): V128 {
    return binary(this.base + 17, a, b);
  }
}

// 8-, 16- and 32-bit lanes: comparisons of both kinds, minimum and maximum.
class SmallIntegerLanes extends IntegerLanes {
  private readonly compare: number;

  constructor(base: number, compare: number) {
    super(base);
    this.compare = compare;
  }

  /** `a == b` as a lane mask. */
  equal(a: V128, b: V128): V128 {
    return binary(this.compare, a, b);
  }
  /** `a != b` as a lane mask. */
  notEqual(a: V128, b: V128): V128 {
    return binary(this.compare + 1, a, b);
  }
  /** `a < b` as a lane mask. */
  less(a: V128, b: V128): V128 {
    return binary(this.compare + 2, a, b);
  }
  /** `a < b` of unsigned lanes as a lane mask. */
  lessUnsigned(a: V128, b: V128): V128 {
    return binary(this.compare + 3, a, b);
  }
  /** `a > b` as a lane mask. */
  greater(a: V128, b: V128): V128 {
    return binary(this.compare + 4, a, b);
  }
  /** `a > b` of unsigned lanes as a lane mask. */
  greaterUnsigned(a: V128, b: V128): V128 {
    return binary(this.compare + 5, a, b);
  }
  /** `a <= b` as a lane mask. */
  lessEqual(a: V128, b: V128): V128 {
    return binary(this.compare + 6, a, b);
  }
  /** `a <= b` of unsigned lanes as a lane mask. */
  lessEqualUnsigned(a: V128, b: V128): V128 {
    return binary(this.compare + 7, a, b);
  }
  /** `a >= b` as a lane mask. */
  greaterEqual(a: V128, b: V128): V128 {
    return binary(this.compare + 8, a, b);
  }
  /** `a >= b` of unsigned lanes as a lane mask. */
  greaterEqualUnsigned(a: V128, b: V128): V128 {
    return binary(this.compare + 9, a, b);
  }
  /** The smaller. */
  minimum(a: V128, b: V128): V128 {
    return binary(this.base + 22, a, b);
  }
  /** The smaller of unsigned lanes. */
  minimumUnsigned(a: V128, b: V128): V128 {
    return binary(this.base + 23, a, b);
  }
  /** The larger. */
  maximum(a: V128, b: V128): V128 {
    return binary(this.base + 24, a, b);
  }
  /** The larger of unsigned lanes. */
  maximumUnsigned(a: V128, b: V128): V128 {
    return binary(this.base + 25, a, b);
  }
}

// What 8- and 16-bit lanes have: two source vectors narrowed into one, saturating.
class NarrowableLanes extends SmallIntegerLanes {
  /** The lanes of `a`, then of `b`, twice as wide, narrowed with signed saturation. */
  narrow(a: V128, b: V128): V128 {
    return binary(this.base + 5, a, b);
  }
  /** The (signed) lanes of `a`, then of `b`, twice as wide, narrowed with unsigned saturation. */
  narrowUnsigned(a: V128, b: V128): V128 {
    return binary(this.base + 6, a, b);
  }
}

class I8x16 extends NarrowableLanes {
  /** One value in all lanes. */
  splat(a: I32Like): V128 {
    return new V128([I32.from(a), ...simd(15)]);
  }
  /** A constant vector. */
  const(lanes: readonly number[]): V128 {
    return new V128([...simd(12), ...new Uint8Array(lanes)]);
  }
  /** The value of one lane, sign-extended. */
  extractLane(a: V128, lane: number): I32 {
    return new I32(extract(21, a, lane));
  }
  /** The value of one lane, zero-extended. */
  extractLaneUnsigned(a: V128, lane: number): I32 {
    return new I32(extract(22, a, lane));
  }
  /** `a` with one lane replaced. */
  replaceLane(a: V128, lane: number, value: I32Like): V128 {
    return new V128([a, I32.from(value), ...simd(23), lane]);
  }
  /** Bytes of `a` (0 … 15) and `b` (16 … 31) in constant order. */
  shuffle(a: V128, b: V128, lanes: readonly number[]): V128 {
    return new V128([a, b, ...simd(13), ...lanes]);
  }
  /** Bytes of `a` in the order of `indices`; 0 where an index is beyond 15. */
  swizzle(a: V128, indices: V128): V128 {
    return binary(14, a, indices);
  }
  /** The same where every index is below 16. Relaxed SIMD only. */
  relaxedSwizzle(a: V128, indices: V128): V128 {
    return binary(256, a, indices);
  }
}

class I16x8 extends NarrowableLanes {
  /** One value in all lanes. */
  splat(a: I32Like): V128 {
    return new V128([I32.from(a), ...simd(16)]);
  }
  /** A constant vector. */
  const(lanes: readonly number[]): V128 {
    return new V128([...simd(12), ...new Uint8Array(new Int16Array(lanes).buffer)]);
  }
  /** The value of one lane, sign-extended. */
  extractLane(a: V128, lane: number): I32 {
    return new I32(extract(24, a, lane));
  }
  /** The value of one lane, zero-extended. */
  extractLaneUnsigned(a: V128, lane: number): I32 {
    return new I32(extract(25, a, lane));
  }
  /** `a` with one lane replaced. */
  replaceLane(a: V128, lane: number, value: I32Like): V128 {
    return new V128([a, I32.from(value), ...simd(26), lane]);
  }
  /** The low 8 bytes, sign-extended. */
  extendLow(a: V128): V128 {
    return unary(this.base + 7, a);
  }
  /** The high 8 bytes, sign-extended. */
  extendHigh(a: V128): V128 {
    return unary(this.base + 8, a);
  }
  /** The low 8 bytes, zero-extended. */
  extendLowUnsigned(a: V128): V128 {
    return unary(this.base + 9, a);
  }
  /** The high 8 bytes, zero-extended. */
  extendHighUnsigned(a: V128): V128 {
    return unary(this.base + 10, a);
  }
  /** `a * b`, low halves. */
  multiply(a: V128, b: V128): V128 {
    return binary(this.base + 21, a, b);
  }
}

class I32x4 extends SmallIntegerLanes {
  /** One value in all lanes; a number becomes a vector constant. */
  splat(a: I32Like): V128 {
    return typeof a === "number" ? this.const(a, a, a, a) : new V128([a, ...simd(17)]);
  }
  /** A constant vector. */
  const(a: number, b: number, c: number, d: number): V128 {
    return new V128([...simd(12), ...new Uint8Array(new Int32Array([a, b, c, d]).buffer)]);
  }
  /** The value of one lane. */
  extractLane(a: V128, lane: number): I32 {
    return new I32(extract(27, a, lane));
  }
  /** `a` with one lane replaced. */
  replaceLane(a: V128, lane: number, value: I32Like): V128 {
    return new V128([a, I32.from(value), ...simd(28), lane]);
  }
  /** The low four 16-bit lanes, sign-extended. */
  extendLow(a: V128): V128 {
    return unary(this.base + 7, a);
  }
  /** The high four 16-bit lanes, sign-extended. */
  extendHigh(a: V128): V128 {
    return unary(this.base + 8, a);
  }
  /** The low four 16-bit lanes, zero-extended. */
  extendLowUnsigned(a: V128): V128 {
    return unary(this.base + 9, a);
  }
  /** The high four 16-bit lanes, zero-extended. */
  extendHighUnsigned(a: V128): V128 {
    return unary(this.base + 10, a);
  }
  /** `a * b`, low halves. */
  multiply(a: V128, b: V128): V128 {
    return binary(this.base + 21, a, b);
  }
  /** Sums of products of neighbouring 16-bit lanes. */
  dotI16x8(a: V128, b: V128): V128 {
    return binary(this.base + 26, a, b);
  }
  /** From float32, toward zero, saturating, NaN to 0. */
  truncateF32x4(a: V128): V128 {
    return unary(248, a);
  }
  /** The same to uint32 lanes. */
  truncateF32x4Unsigned(a: V128): V128 {
    return unary(249, a);
  }
  /** From two float64 into the low lanes; the high lanes are 0. */
  truncateF64x2Zero(a: V128): V128 {
    return unary(252, a);
  }
  /** The same to uint32 lanes. */
  truncateF64x2ZeroUnsigned(a: V128): V128 {
    return unary(253, a);
  }
  /** From float32 known to fit; anything else is undefined. Relaxed SIMD only. */
  relaxedTruncateF32x4(a: V128): V128 {
    return unary(257, a);
  }
  /** Lanes of `a` (0 … 3) and `b` (4 … 7) in constant order. */
  shuffle(a: V128, b: V128, lanes: readonly [number, number, number, number]): V128 {
    const bytes = lanes.flatMap((lane) => [lane * 4, lane * 4 + 1, lane * 4 + 2, lane * 4 + 3]);
    return new V128([a, b, ...simd(13), ...bytes]);
  }
}

/** Sixteen 8-bit lanes. */
export const i8x16: I8x16 = new I8x16(96, 35);

/** Eight 16-bit lanes. */
export const i16x8: I16x8 = new I16x8(128, 45);

/** Four 32-bit lanes. */
export const i32x4: I32x4 = new I32x4(160, 55);
