/**
 * Typed expressions.
 *
 * An expression is a recipe, not a value: it is turned into instructions at the place where a
 * statement uses it, and used twice it is computed twice. Keep what is used more than once in a
 * local (`f.let(value)`). Locals are expressions too.
 */

import type { Code } from "./code.js";

/** A value type: its byte in the format, and how expressions of it are made. */
export interface ValueType<T extends Expression = Expression> {
  /** The byte that names the type. */
  readonly id: number;
  /** Makes an expression of this type from a recipe. */
  readonly of: (code: Code) => T;
}

/** What every expression has. */
export interface Expression<Name = unknown> {
  /** The recipe: operands, then instruction bytes. */
  readonly code: Code;
  /** The type of the value. */
  readonly type: ValueType;
  /** Never there: keeps types apart whose methods are the same. */
  readonly name?: Name;
}

interface Equality<Operand> {
  /** `this == other`. */
  equal(other: Operand): I32;
  /** `this != other`, true for NaN. */
  notEqual(other: Operand): I32;
}

interface Order<Operand> extends Equality<Operand> {
  /** `this < other`, signed. */
  less(other: Operand): I32;
  /** `this > other`, signed. */
  greater(other: Operand): I32;
  /** `this <= other`, signed. */
  lessEqual(other: Operand): I32;
  /** `this >= other`, signed. */
  greaterEqual(other: Operand): I32;
}

interface Ring<Self, Operand> {
  /** `this + other`. */
  add(other: Operand): Self;
  /** `this - other`. */
  subtract(other: Operand): Self;
  /** `this * other`. */
  multiply(other: Operand): Self;
}

interface Bits<Self, Operand> {
  /** Bits set in both. */
  and(other: Operand): Self;
  /** Bits set in either. */
  or(other: Operand): Self;
  /** Bits set in one of the two. */
  xor(other: Operand): Self;
}

interface Integer<Self, Operand> extends Ring<Self, Operand>, Bits<Self, Operand> {
  /** `this << other`. */
  shiftLeft(other: Operand): Self;
  /** `this >> other`, keeping the sign. */
  shiftRight(other: Operand): Self;
  /** `this >>> other`, filling with zeros. */
  shiftRightUnsigned(other: Operand): Self;
}

/** A 32-bit integer, or a plain number taken as a constant. */
export type I32Like = I32 | number;

/** A 32-bit integer: counters, addresses (unsigned), conditions (0 or 1). Constants are folded. */
export interface I32 extends Expression<"i32">, Integer<I32, I32Like>, Order<I32Like> {
  /** The value, where it is a constant. */
  readonly constant?: number;
  /** `this / other`, truncated toward zero. Traps at zero divisors. */
  divide(other: I32Like): I32;
  /** `this / other` of unsigned numbers. Traps at zero divisors. */
  divideUnsigned(other: I32Like): I32;
  /** The remainder with the sign of `this`. Traps at zero divisors. */
  remainder(other: I32Like): I32;
  /** The remainder of unsigned numbers. Traps at zero divisors. */
  remainderUnsigned(other: I32Like): I32;
  /** Whether this is 0. */
  isZero(): I32;
  /** `this < other`, unsigned (addresses). */
  lessUnsigned(other: I32Like): I32;
  /** `this > other`, unsigned. */
  greaterUnsigned(other: I32Like): I32;
  /** `this <= other`, unsigned. */
  lessEqualUnsigned(other: I32Like): I32;
  /** `this >= other`, unsigned. */
  greaterEqualUnsigned(other: I32Like): I32;
  /** `whenTrue` if this is not 0, else `whenFalse`; both are computed. */
  select<T extends Expression>(whenTrue: T, whenFalse: T): T;
  /** The smaller of two signed numbers. Both are computed twice: pass locals or constants. */
  minimum(other: I32Like): I32;
  /** The larger of two signed numbers. Both are computed twice: pass locals or constants. */
  maximum(other: I32Like): I32;
}

/** A 64-bit integer; only what conversions and wide products need. */
export interface I64 extends Expression<"i64">, Integer<I64, I64>, Equality<I64> {
  /** The low 32 bits. */
  wrap(): I32;
}

interface Float<Self> extends Ring<Self, Self>, Order<Self> {
  /** The magnitude. */
  abs(): Self;
  /** `-this`. */
  negate(): Self;
  /** The smallest integer not below. */
  ceil(): Self;
  /** The largest integer not above. */
  floor(): Self;
  /** The integer part. */
  trunc(): Self;
  /** The nearest integer, half to even. */
  nearest(): Self;
  /** The square root. */
  sqrt(): Self;
  /** `this / other`. */
  divide(other: Self): Self;
  /** The smaller; NaN if either is NaN. */
  minimum(other: Self): Self;
  /** The larger; NaN if either is NaN. */
  maximum(other: Self): Self;
}

/** A float32. */
export interface F32 extends Expression<"f32">, Float<F32> {}

/** A float64. */
export interface F64 extends Expression<"f64">, Float<F64> {}

/** A 128-bit vector; its lanes are what the instruction says (`f32x4`, `i32x4`, …). */
export interface V128 extends Expression<"v128">, Bits<V128, V128> {
  /** Bits of this that are not set in `other`. */
  andNot(other: V128): V128;
  /** The bits turned over. */
  not(): V128;
  /** Whether any bit is set (0 or 1). */
  anyTrue(): I32;
  /** `this + other` in float32 lanes. */
  f32x4Add(other: V128): V128;
}
