/**
 * The value types as namespaces: `i32`, `i64`, `f32`, `f64`, `v128`.
 *
 * Each names its type where a signature or a local needs one, and holds what makes expressions of
 * the type out of nothing: constants, loads, conversions. Addresses are unsigned 32-bit; `offset`
 * is a constant number of bytes added to the address at no cost. Alignment is only a hint and is
 * given as 4 bytes at most for vectors, as float32 arrays are.
 */

import { type Code, float32Bytes, float64Bytes, memoryArgument, signed64, simd } from "./code.js";
import { F32, F64, I32, type I32Like, I64, V128, type ValueType } from "./expression.js";

class I32Type implements ValueType<I32> {
  readonly id = 0x7f;

  of(code: Code): I32 {
    return new I32(code);
  }
  /** A constant. */
  const(value: number): I32 {
    return I32.constant(value);
  }
  /** Four bytes. */
  load(address: I32, offset = 0): I32 {
    return new I32([address, 0x28, ...memoryArgument(2, offset)]);
  }
  /** A byte, sign-extended. */
  load8(address: I32, offset = 0): I32 {
    return new I32([address, 0x2c, ...memoryArgument(0, offset)]);
  }
  /** A byte, zero-extended. */
  load8Unsigned(address: I32, offset = 0): I32 {
    return new I32([address, 0x2d, ...memoryArgument(0, offset)]);
  }
  /** Two bytes, sign-extended. */
  load16(address: I32, offset = 0): I32 {
    return new I32([address, 0x2e, ...memoryArgument(1, offset)]);
  }
  /** Two bytes, zero-extended. */
  load16Unsigned(address: I32, offset = 0): I32 {
    return new I32([address, 0x2f, ...memoryArgument(1, offset)]);
  }
  /** From a float, toward zero, saturating, NaN to 0. */
  truncate(value: F32 | F64): I32 {
    return new I32([value, 0xfc, value instanceof F32 ? 0 : 2]);
  }
  /** The same to the unsigned range. */
  truncateUnsigned(value: F32 | F64): I32 {
    return new I32([value, 0xfc, value instanceof F32 ? 1 : 3]);
  }
  /** The bits of a float32. */
  reinterpret(value: F32): I32 {
    return new I32([value, 0xbc]);
  }
  /** Atomic load of four aligned bytes. */
  atomicLoad(address: I32, offset = 0): I32 {
    return new I32([address, 0xfe, 0x10, ...memoryArgument(2, offset)]);
  }
  /** Atomically adds and gives the old value. */
  atomicAdd(address: I32, value: I32Like, offset = 0): I32 {
    return new I32([address, I32.from(value), 0xfe, 0x1e, ...memoryArgument(2, offset)]);
  }
  /** Atomically replaces and gives the old value. */
  atomicExchange(address: I32, value: I32Like, offset = 0): I32 {
    return new I32([address, I32.from(value), 0xfe, 0x41, ...memoryArgument(2, offset)]);
  }
  /** Atomically replaces what equals `expected` and gives the old value. */
  atomicCompareExchange(address: I32, expected: I32Like, value: I32Like, offset = 0): I32 {
    const operands = [address, I32.from(expected), I32.from(value)];
    return new I32([...operands, 0xfe, 0x48, ...memoryArgument(2, offset)]);
  }
  /**
   * Sleeps while the word equals `expected`, at most `timeout` nanoseconds (-1: for ever).
   * Gives 0 when woken, 1 when the word differs, 2 at the time limit. Shared memory only.
   */
  atomicWait(address: I32, expected: I32Like, timeout: I64, offset = 0): I32 {
    const operands = [address, I32.from(expected), timeout];
    return new I32([...operands, 0xfe, 0x01, ...memoryArgument(2, offset)]);
  }
  /** Wakes at most `count` sleepers (-1: all) and gives their number. */
  atomicNotify(address: I32, count: I32Like, offset = 0): I32 {
    return new I32([address, I32.from(count), 0xfe, 0x00, ...memoryArgument(2, offset)]);
  }
}

class I64Type implements ValueType<I64> {
  readonly id = 0x7e;

  of(code: Code): I64 {
    return new I64(code);
  }
  /** A constant. */
  const(value: number | bigint): I64 {
    return new I64([0x42, ...signed64(BigInt(value))]);
  }
  /** Eight bytes. */
  load(address: I32, offset = 0): I64 {
    return new I64([address, 0x29, ...memoryArgument(3, offset)]);
  }
  /** The bits of a float64. */
  reinterpret(value: F64): I64 {
    return new I64([value, 0xbd]);
  }
  /** From a signed 32-bit integer. */
  extend(value: I32): I64 {
    return new I64([value, 0xac]);
  }
  /** From an unsigned 32-bit integer. */
  extendUnsigned(value: I32): I64 {
    return new I64([value, 0xad]);
  }
  /** Atomic load of eight aligned bytes. */
  atomicLoad(address: I32, offset = 0): I64 {
    return new I64([address, 0xfe, 0x11, ...memoryArgument(3, offset)]);
  }
  /** Atomically replaces what equals `expected` and gives the old value. */
  atomicCompareExchange(address: I32, expected: I64, value: I64, offset = 0): I64 {
    return new I64([address, expected, value, 0xfe, 0x49, ...memoryArgument(3, offset)]);
  }
}

class F32Type implements ValueType<F32> {
  readonly id = 0x7d;

  of(code: Code): F32 {
    return new F32(code);
  }
  /** A constant. */
  const(value: number): F32 {
    return new F32([0x43, ...float32Bytes(value)]);
  }
  /** Four bytes. */
  load(address: I32, offset = 0): F32 {
    return new F32([address, 0x2a, ...memoryArgument(2, offset)]);
  }
  /** From a signed integer. */
  convert(value: I32): F32 {
    return new F32([value, 0xb2]);
  }
  /** From an unsigned integer. */
  convertUnsigned(value: I32): F32 {
    return new F32([value, 0xb3]);
  }
  /** From a float64, rounded. */
  demote(value: F64): F32 {
    return new F32([value, 0xb6]);
  }
  /** From the bits of an integer. */
  reinterpret(value: I32): F32 {
    return new F32([value, 0xbe]);
  }
}

class F64Type implements ValueType<F64> {
  readonly id = 0x7c;

  of(code: Code): F64 {
    return new F64(code);
  }
  /** A constant. */
  const(value: number): F64 {
    return new F64([0x44, ...float64Bytes(value)]);
  }
  /** Eight bytes. */
  load(address: I32, offset = 0): F64 {
    return new F64([address, 0x2b, ...memoryArgument(3, offset)]);
  }
  /** From a signed integer. */
  convert(value: I32): F64 {
    return new F64([value, 0xb7]);
  }
  /** From an unsigned integer. */
  convertUnsigned(value: I32): F64 {
    return new F64([value, 0xb8]);
  }
  /** From a signed 64-bit integer. */
  convertI64(value: I64): F64 {
    return new F64([value, 0xb9]);
  }
  /** From a float32. */
  promote(value: F32): F64 {
    return new F64([value, 0xbb]);
  }
  /** From the bits of an integer. */
  reinterpret(value: I64): F64 {
    return new F64([value, 0xbf]);
  }
}

class V128Type implements ValueType<V128> {
  readonly id = 0x7b;

  of(code: Code): V128 {
    return new V128(code);
  }
  /** The vector of zeros. */
  zero(): V128 {
    return new V128([...simd(12), ...new Array<number>(16).fill(0)]);
  }
  /** Sixteen bytes. */
  load(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(0), ...memoryArgument(2, offset)]);
  }
  /** Eight int8 widened to 16 bits. */
  load8x8(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(1), ...memoryArgument(0, offset)]);
  }
  /** Eight uint8 widened to 16 bits. */
  load8x8Unsigned(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(2), ...memoryArgument(0, offset)]);
  }
  /** Four int16 widened to 32 bits. */
  load16x4(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(3), ...memoryArgument(1, offset)]);
  }
  /** Four uint16 widened to 32 bits. */
  load16x4Unsigned(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(4), ...memoryArgument(1, offset)]);
  }
  /** A byte in all lanes. */
  load8Splat(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(7), ...memoryArgument(0, offset)]);
  }
  /** Two bytes in all lanes. */
  load16Splat(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(8), ...memoryArgument(1, offset)]);
  }
  /** Four bytes in all lanes. */
  load32Splat(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(9), ...memoryArgument(2, offset)]);
  }
  /** Eight bytes in both lanes. */
  load64Splat(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(10), ...memoryArgument(2, offset)]);
  }
  /** Four bytes in lane 0, zeros above. */
  load32Zero(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(92), ...memoryArgument(2, offset)]);
  }
  /** Eight bytes in the low half, zeros above. */
  load64Zero(address: I32, offset = 0): V128 {
    return new V128([address, ...simd(93), ...memoryArgument(2, offset)]);
  }
  /** `into` with one 8-bit lane loaded. */
  load8Lane(address: I32, into: V128, lane: number, offset = 0): V128 {
    return new V128([address, into, ...simd(84), ...memoryArgument(0, offset), lane]);
  }
  /** `into` with one 16-bit lane loaded. */
  load16Lane(address: I32, into: V128, lane: number, offset = 0): V128 {
    return new V128([address, into, ...simd(85), ...memoryArgument(1, offset), lane]);
  }
  /** `into` with one 32-bit lane loaded. */
  load32Lane(address: I32, into: V128, lane: number, offset = 0): V128 {
    return new V128([address, into, ...simd(86), ...memoryArgument(2, offset), lane]);
  }
  /** `into` with one 64-bit lane loaded. */
  load64Lane(address: I32, into: V128, lane: number, offset = 0): V128 {
    return new V128([address, into, ...simd(87), ...memoryArgument(2, offset), lane]);
  }
  /** Bits of `a` where the mask is set, of `b` elsewhere. */
  bitselect(a: V128, b: V128, mask: V128): V128 {
    return new V128([a, b, mask, ...simd(82)]);
  }
  /** The same where every lane of the mask is all ones or zeros. Relaxed SIMD only. */
  relaxedSelect(a: V128, b: V128, mask: V128): V128 {
    return new V128([a, b, mask, ...simd(267)]);
  }
}

/** 32-bit integers. */
export const i32: I32Type = new I32Type();
/** 64-bit integers. */
export const i64: I64Type = new I64Type();
/** float32 numbers. */
export const f32: F32Type = new F32Type();
/** float64 numbers. */
export const f64: F64Type = new F64Type();
/** 128-bit vectors. */
export const v128: V128Type = new V128Type();
