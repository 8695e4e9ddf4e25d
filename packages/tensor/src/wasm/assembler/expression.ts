/**
 * Typed expressions.
 *
 * An expression is a recipe, not a value: it is turned into instructions at the place where a
 * statement uses it, and used twice it is computed twice. Keep what is used more than once in a
 * local (`f.let(value)`). Locals are expressions too.
 */

import { type Code, signed } from "./code.js";

/** A value type: its byte in the format, and the class of its expressions. */
export interface ValueType<T extends Expression = Expression> {
  /** The byte that names the type. */
  readonly id: number;
  /** Makes an expression of this type from a recipe. */
  of(code: Code): T;
}

/** What every expression has. */
export abstract class Expression {
  /** The recipe: operands, then instruction bytes. */
  readonly code: Code;

  constructor(code: Code) {
    this.code = code;
  }

  /** The byte of the value type. */
  abstract readonly id: number;
}

/** A 32-bit integer, or a plain number taken as a constant. */
export type I32Like = I32 | number;

/** A 32-bit integer: counters, addresses (unsigned), conditions (0 or 1). */
export class I32 extends Expression {
  readonly id = 0x7f;
  /** The value, where it is a constant. */
  readonly constant: number | undefined;

  constructor(code: Code, constant?: number) {
    super(code);
    this.constant = constant;
  }

  /** The expression of a constant. */
  static constant(value: number): I32 {
    return new I32([0x41, ...signed(value | 0)], value | 0);
  }

  /** Turns plain numbers into constants. */
  static from(value: I32Like): I32 {
    return typeof value === "number" ? I32.constant(value) : value;
  }

  private binary(opcode: number, other: I32Like): I32 {
    return new I32([this, I32.from(other), opcode]);
  }

  /** `this + other`. */
  add(other: I32Like): I32 {
    const right = I32.from(other);
    if (right.constant === 0) return this;
    if (this.constant === 0) return right;
    if (this.constant !== undefined && right.constant !== undefined) {
      return I32.constant(this.constant + right.constant);
    }
    return this.binary(0x6a, right);
  }

  /** `this - other`. */
  subtract(other: I32Like): I32 {
    const right = I32.from(other);
    if (right.constant !== undefined) return this.add(-right.constant);
    return this.binary(0x6b, right);
  }

  /** `this * other`. */
  multiply(other: I32Like): I32 {
    const right = I32.from(other);
    if (this.constant !== undefined && right.constant !== undefined) {
      return I32.constant(Math.imul(this.constant, right.constant));
    }
    if (this.constant !== undefined) return right.multiply(this.constant);
    const factor = right.constant;
    if (factor === 0) return I32.constant(0);
    if (factor === 1) return this;
    if (factor !== undefined && factor > 0 && (factor & (factor - 1)) === 0) {
      return this.shiftLeft(31 - Math.clz32(factor));
    }
    return this.binary(0x6c, right);
  }

  /** `this / other`, truncated toward zero. Traps at zero divisors. */
  divide(other: I32Like): I32 {
    return other === 1 ? this : this.binary(0x6d, other);
  }

  /** `this / other` of unsigned numbers. Traps at zero divisors. */
  divideUnsigned(other: I32Like): I32 {
    if (typeof other === "number" && other > 0 && (other & (other - 1)) === 0) {
      return this.shiftRightUnsigned(31 - Math.clz32(other));
    }
    return this.binary(0x6e, other);
  }

  /** The remainder with the sign of `this`. Traps at zero divisors. */
  remainder(other: I32Like): I32 {
    return this.binary(0x6f, other);
  }

  /** The remainder of unsigned numbers. Traps at zero divisors. */
  remainderUnsigned(other: I32Like): I32 {
    if (typeof other === "number" && other > 0 && (other & (other - 1)) === 0) {
      return this.and(other - 1);
    }
    return this.binary(0x70, other);
  }

  /** Bits set in both. */
  and(other: I32Like): I32 {
    return this.binary(0x71, other);
  }

  /** Bits set in either. */
  or(other: I32Like): I32 {
    return this.binary(0x72, other);
  }

  /** Bits set in one of the two. */
  xor(other: I32Like): I32 {
    return this.binary(0x73, other);
  }

  /** `this << other`. */
  shiftLeft(other: I32Like): I32 {
    if (other === 0) return this;
    if (typeof other === "number" && this.constant !== undefined) {
      return I32.constant(this.constant << other);
    }
    return this.binary(0x74, other);
  }

  /** `this >> other`, keeping the sign. */
  shiftRight(other: I32Like): I32 {
    return other === 0 ? this : this.binary(0x75, other);
  }

  /** `this >>> other`, filling with zeros. */
  shiftRightUnsigned(other: I32Like): I32 {
    return other === 0 ? this : this.binary(0x76, other);
  }

  /** Rotates the bits to the left. */
  rotateLeft(other: I32Like): I32 {
    return this.binary(0x77, other);
  }

  /** Whether this is 0. */
  isZero(): I32 {
    return new I32([this, 0x45]);
  }

  /** `this == other`. */
  equal(other: I32Like): I32 {
    return this.binary(0x46, other);
  }

  /** `this != other`. */
  notEqual(other: I32Like): I32 {
    return this.binary(0x47, other);
  }

  /** `this < other`, signed. */
  less(other: I32Like): I32 {
    return this.binary(0x48, other);
  }

  /** `this < other`, unsigned (addresses). */
  lessUnsigned(other: I32Like): I32 {
    return this.binary(0x49, other);
  }

  /** `this > other`, signed. */
  greater(other: I32Like): I32 {
    return this.binary(0x4a, other);
  }

  /** `this > other`, unsigned. */
  greaterUnsigned(other: I32Like): I32 {
    return this.binary(0x4b, other);
  }

  /** `this <= other`, signed. */
  lessEqual(other: I32Like): I32 {
    return this.binary(0x4c, other);
  }

  /** `this <= other`, unsigned. */
  lessEqualUnsigned(other: I32Like): I32 {
    return this.binary(0x4d, other);
  }

  /** `this >= other`, signed. */
  greaterEqual(other: I32Like): I32 {
    return this.binary(0x4e, other);
  }

  /** `this >= other`, unsigned. */
  greaterEqualUnsigned(other: I32Like): I32 {
    return this.binary(0x4f, other);
  }

  /** The number of zero bits above the highest set bit. */
  countLeadingZeros(): I32 {
    return new I32([this, 0x67]);
  }

  /** The number of zero bits below the lowest set bit. */
  countTrailingZeros(): I32 {
    return new I32([this, 0x68]);
  }

  /** `whenTrue` if this is not 0, else `whenFalse`; both are computed. */
  select<T extends Expression>(whenTrue: T, whenFalse: T): T {
    return expressionOf(whenTrue, [whenTrue, whenFalse, this, 0x1b]);
  }

  /** The smaller of two signed numbers. Both are computed twice: pass locals or constants. */
  minimum(other: I32Like): I32 {
    return this.less(other).select(this, I32.from(other));
  }

  /** The larger of two signed numbers. Both are computed twice: pass locals or constants. */
  maximum(other: I32Like): I32 {
    return this.greater(other).select(this, I32.from(other));
  }
}

/** A 64-bit integer; only what conversions and wide products need. */
export class I64 extends Expression {
  readonly id = 0x7e;

  /** `this + other`. */
  add(other: I64): I64 {
    return new I64([this, other, 0x7c]);
  }

  /** `this - other`. */
  subtract(other: I64): I64 {
    return new I64([this, other, 0x7d]);
  }

  /** `this * other`. */
  multiply(other: I64): I64 {
    return new I64([this, other, 0x7e]);
  }

  /** Bits set in both. */
  and(other: I64): I64 {
    return new I64([this, other, 0x83]);
  }

  /** Bits set in either. */
  or(other: I64): I64 {
    return new I64([this, other, 0x84]);
  }

  /** Bits set in one of the two. */
  xor(other: I64): I64 {
    return new I64([this, other, 0x85]);
  }

  /** `this << other`. */
  shiftLeft(other: I64): I64 {
    return new I64([this, other, 0x86]);
  }

  /** `this >>> other`, filling with zeros. */
  shiftRightUnsigned(other: I64): I64 {
    return new I64([this, other, 0x88]);
  }

  /** `this == other`. */
  equal(other: I64): I32 {
    return new I32([this, other, 0x51]);
  }

  /** The low 32 bits. */
  wrap(): I32 {
    return new I32([this, 0xa7]);
  }
}

// float32 and float64 have the same instructions at different opcodes; `Self` is the class itself.
abstract class Float<Self extends Expression> extends Expression {
  // Opcodes: comparisons start at `compare`, arithmetic at `arithmetic`.
  protected abstract readonly compare: number;
  protected abstract readonly arithmetic: number;
  protected abstract make(code: Code): Self;

  private unary(offset: number): Self {
    return this.make([this, this.arithmetic + offset]);
  }

  private binary(offset: number, other: Self): Self {
    return this.make([this, other, this.arithmetic + offset]);
  }

  private comparison(offset: number, other: Self): I32 {
    return new I32([this, other, this.compare + offset]);
  }

  /** `this == other`. */
  equal(other: Self): I32 {
    return this.comparison(0, other);
  }

  /** `this != other`, true for NaN. */
  notEqual(other: Self): I32 {
    return this.comparison(1, other);
  }

  /** `this < other`. */
  less(other: Self): I32 {
    return this.comparison(2, other);
  }

  /** `this > other`. */
  greater(other: Self): I32 {
    return this.comparison(3, other);
  }

  /** `this <= other`. */
  lessEqual(other: Self): I32 {
    return this.comparison(4, other);
  }

  /** `this >= other`. */
  greaterEqual(other: Self): I32 {
    return this.comparison(5, other);
  }

  /** The magnitude. */
  abs(): Self {
    return this.unary(0);
  }

  /** `-this`. */
  negate(): Self {
    return this.unary(1);
  }

  /** The smallest integer not below. */
  ceil(): Self {
    return this.unary(2);
  }

  /** The largest integer not above. */
  floor(): Self {
    return this.unary(3);
  }

  /** The integer part. */
  trunc(): Self {
    return this.unary(4);
  }

  /** The nearest integer, half to even. */
  nearest(): Self {
    return this.unary(5);
  }

  /** The square root. */
  sqrt(): Self {
    return this.unary(6);
  }

  /** `this + other`. */
  add(other: Self): Self {
    return this.binary(7, other);
  }

  /** `this - other`. */
  subtract(other: Self): Self {
    return this.binary(8, other);
  }

  /** `this * other`. */
  multiply(other: Self): Self {
    return this.binary(9, other);
  }

  /** `this / other`. */
  divide(other: Self): Self {
    return this.binary(10, other);
  }

  /** The smaller; NaN if either is NaN. */
  minimum(other: Self): Self {
    return this.binary(11, other);
  }

  /** The larger; NaN if either is NaN. */
  maximum(other: Self): Self {
    return this.binary(12, other);
  }

  /** The magnitude of this with the sign of `other`. */
  copySign(other: Self): Self {
    return this.binary(13, other);
  }
}

/** A float32. */
export class F32 extends Float<F32> {
  readonly id = 0x7d;
  protected readonly compare = 0x5b;
  protected readonly arithmetic = 0x8b;

  protected make(code: Code): F32 {
    return new F32(code);
  }
}

/** A float64. */
export class F64 extends Float<F64> {
  readonly id = 0x7c;
  protected readonly compare = 0x61;
  protected readonly arithmetic = 0x99;

  protected make(code: Code): F64 {
    return new F64(code);
  }
}

/** A 128-bit vector; its lanes are what the instruction says (`f32x4`, `i32x4`, …). */
export class V128 extends Expression {
  readonly id = 0x7b;

  private binary(opcode: readonly number[], other: V128): V128 {
    return new V128([this, other, ...opcode]);
  }

  /** Bits set in both. */
  and(other: V128): V128 {
    return this.binary([0xfd, 78], other);
  }

  /** Bits of this that are not set in `other`. */
  andNot(other: V128): V128 {
    return this.binary([0xfd, 79], other);
  }

  /** Bits set in either. */
  or(other: V128): V128 {
    return this.binary([0xfd, 80], other);
  }

  /** Bits set in one of the two. */
  xor(other: V128): V128 {
    return this.binary([0xfd, 81], other);
  }

  /** The bits turned over. */
  not(): V128 {
    return new V128([this, 0xfd, 77]);
  }

  /** Whether any bit is set (0 or 1). */
  anyTrue(): I32 {
    return new I32([this, 0xfd, 83]);
  }

  /** `this + other` in float32 lanes. */
  f32x4Add(other: V128): V128 {
    return this.binary([0xfd, 0xe4, 0x01], other);
  }

  /** `this - other` in float32 lanes. */
  f32x4Subtract(other: V128): V128 {
    return this.binary([0xfd, 0xe5, 0x01], other);
  }

  /** `this * other` in float32 lanes. */
  f32x4Multiply(other: V128): V128 {
    return this.binary([0xfd, 0xe6, 0x01], other);
  }

  /** `this / other` in float32 lanes. */
  f32x4Divide(other: V128): V128 {
    return this.binary([0xfd, 0xe7, 0x01], other);
  }

  /** `this + other` in 32-bit integer lanes. */
  i32x4Add(other: V128): V128 {
    return this.binary([0xfd, 0xae, 0x01], other);
  }
}

const constructors: Record<number, new (code: Code) => Expression> = {
  0x7f: I32,
  0x7e: I64,
  0x7d: F32,
  0x7c: F64,
  0x7b: V128,
};

/** An expression of the same type as `like` from a recipe. */
export function expressionOf<T extends Expression>(like: T, code: Code): T {
  return new constructors[like.id]!(code) as T;
}

/** The value type of an expression. */
export function typeOf<T extends Expression>(like: T): ValueType<T> {
  return { id: like.id, of: (code) => expressionOf(like, code) };
}
