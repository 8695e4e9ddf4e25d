/**
 * The value types as namespaces: `i32`, `i64`, `f32`, `f64`, `v128`.
 *
 * Each names its type where a signature or a local needs one, and holds what makes expressions of
 * the type out of nothing: constants, loads, conversions. Addresses are unsigned 32-bit; `offset`
 * is a constant number of bytes added to the address at no cost. Alignment is only a hint and is
 * given as 4 bytes at most for vectors, as float32 arrays are.
 */

import { bytesOf, type Code, memoryArgument, signed, simd } from "./code.js";
import type { Expression, F32, F64, I32, I32Like, I64, V128, ValueType } from "./expression.js";

type Operand = Expression | number;

/**
 * Makes an expression from operands; numbers among them are 32-bit integers. It takes all that it is
 * given, so `map` and `reduce` need a function around it.
 */
export type Instruction<T extends Expression> = (...operands: Operand[]) => T;

/** Instructions, or methods, by name. */
export type Instructions<T extends Expression> = Readonly<Record<string, Instruction<T>>>;

/** The instruction with the given bytes. */
export function instruction<T extends Expression>(
  type: ValueType<T>,
  bytes: readonly number[],
): Instruction<T> {
  return (...operands) => type.of([...operands.map(integer), ...bytes]);
}

/** Instructions whose opcodes follow each other; `-` stands for those that are not needed. */
export function instructions<T extends Expression>(
  type: ValueType<T>,
  names: string,
  first: number,
  encode: (opcode: number) => readonly number[] = (opcode) => [opcode],
): Instructions<T> {
  const entries = names
    .split(" ")
    .map((name, i) => [name, instruction(type, encode(first + i))] as const);
  return Object.fromEntries(entries);
}

// An instruction with an address as its first operand and an offset behind the last.
function access<T extends Expression>(
  type: ValueType<T>,
  bytes: readonly number[],
  align: number,
  operands = 1,
): (...operands: (Operand | undefined)[]) => T {
  return (...given) => {
    const offset = (given[operands] ?? 0) as number;
    const values = (given.slice(0, operands) as Operand[]).map(integer);
    return type.of([...values, ...bytes, ...memoryArgument(align, offset)]);
  };
}

interface TypeWithMethods<T extends Expression> extends ValueType<T> {
  readonly methods: Record<string, unknown>;
}

function valueType<T extends Expression>(id: number): TypeWithMethods<T> {
  class Typed {
    readonly type: ValueType = type;
    readonly code: Code;
    constructor(code: Code) {
      this.code = code;
    }
  }
  const type: TypeWithMethods<T> = {
    id,
    of: (code) => new Typed(code) as Expression as T,
    // Methods are added by name; the interfaces declare them.
    methods: Typed.prototype as unknown as Record<string, unknown>,
  };
  return type;
}

// Turns instructions into methods: what they are called on is the first operand.
function giveMethods(
  { methods }: TypeWithMethods<Expression>,
  ...tables: readonly Instructions<Expression>[]
): void {
  for (const [name, make] of tables.flatMap((table) => Object.entries(table))) {
    methods[name] = function (this: Expression, ...operands: Operand[]) {
      return make(this, ...operands);
    };
  }
}

const int = valueType<I32>(0x7f);
const long = valueType<I64>(0x7e);
const single = valueType<F32>(0x7d);
const double = valueType<F64>(0x7c);
const vector = valueType<V128>(0x7b);

/** The comparisons of integers in the order of their opcodes. */
export const integerComparisons =
  "equal notEqual less lessUnsigned greater greaterUnsigned lessEqual lessEqualUnsigned greaterEqual greaterEqualUnsigned";
/** The comparisons of floats in the order of their opcodes. */
export const floatComparisons = "equal notEqual less greater lessEqual greaterEqual";
const integerArithmetic =
  "add subtract multiply divide divideUnsigned remainder remainderUnsigned and or xor shiftLeft shiftRight shiftRightUnsigned";
const floatArithmetic =
  "abs negate ceil floor trunc nearest sqrt add subtract multiply divide minimum maximum";

function constant(value: number): I32 {
  const expression = int.of([0x41, ...signed(value | 0)]);
  return Object.assign(expression, { constant: value | 0 });
}

/** The operand itself, or the constant that a number stands for. */
export function integer<T extends Expression>(operand: T | number): T | I32 {
  return typeof operand === "number" ? constant(operand) : operand;
}

// What is known of a result before it is computed.
function folded(name: string, left: I32, right: I32): I32 | null {
  const [a, b] = [left.constant, right.constant];
  if (b === undefined) {
    const commutes = name === "add" || name === "multiply";
    return commutes && a !== undefined ? right[name](a) : null;
  }
  const isOne = name === "multiply" || name.startsWith("divide");
  const isShift = name.startsWith("shift");
  if (isOne ? b === 1 : b === 0 && (name === "add" || isShift)) return left;
  if (name === "subtract") return left.add(-b);
  if (name === "multiply" && b === 0) return right;
  if (a !== undefined) {
    if (name === "add") return constant(a + b);
    if (name === "multiply") return constant(Math.imul(a, b));
    if (name === "shiftLeft") return constant(a << b);
  }
  if (b > 0 && (b & (b - 1)) === 0) {
    if (name === "multiply") return left.shiftLeft(31 - Math.clz32(b));
    if (name === "divideUnsigned") return left.shiftRightUnsigned(31 - Math.clz32(b));
    if (name === "remainderUnsigned") return left.and(b - 1);
  }
  return null;
}

const i32Arithmetic = instructions(int, integerArithmetic, 0x6a);
giveMethods(
  int,
  instructions(int, `isZero ${integerComparisons}`, 0x45),
  Object.fromEntries(
    Object.entries(i32Arithmetic).map(([name, make]) => [
      name,
      (left, right) => folded(name, left as I32, integer(right) as I32) ?? make(left, right),
    ]),
  ),
  {
    select: (condition, whenTrue, whenFalse) =>
      (whenTrue as Expression).type.of([whenTrue, whenFalse, condition, 0x1b]),
    minimum: (a, b) => (a as I32).less(b as I32).select(a as I32, integer(b)),
    maximum: (a, b) => (a as I32).greater(b as I32).select(a as I32, integer(b)),
  },
);
giveMethods(
  long,
  instructions(long, integerArithmetic, 0x7c),
  instructions(int, "equal notEqual", 0x51),
  { wrap: instruction(int, [0xa7]) },
);
giveMethods(
  single,
  instructions(int, floatComparisons, 0x5b),
  instructions(single, floatArithmetic, 0x8b),
);
giveMethods(
  double,
  instructions(int, floatComparisons, 0x61),
  instructions(double, floatArithmetic, 0x99),
);
giveMethods(vector, instructions(vector, "not and andNot or xor", 77, simd), {
  anyTrue: instruction(int, simd(83)),
  f32x4Add: instruction(vector, simd(228)),
});

/** Loads from an address, `offset` bytes further. */
type Load<T> = (address: I32, offset?: number) => T;

interface I32Namespace extends ValueType<I32> {
  /** A constant. */
  readonly const: (value: number) => I32;
  /** The value itself, or the constant that a number stands for. */
  readonly from: (value: I32Like) => I32;
  /** Four bytes. */
  readonly load: Load<I32>;
  /** A byte, sign-extended. */
  readonly load8: Load<I32>;
  /** A byte, zero-extended. */
  readonly load8Unsigned: Load<I32>;
  /** Two bytes, zero-extended. */
  readonly load16Unsigned: Load<I32>;
  /** Atomic load of four aligned bytes. */
  readonly atomicLoad: Load<I32>;
  /** Atomically adds and gives the old value. */
  readonly atomicAdd: (address: I32, value: I32Like, offset?: number) => I32;
  /** Wakes at most `count` sleepers (-1: all) and gives their number. */
  readonly atomicNotify: (address: I32, count: I32Like, offset?: number) => I32;
  /** Sleeps while the value at the address is the expected one, `timeout` nanoseconds at most (-1: any time). */
  readonly atomicWait: (address: I32, expected: I32Like, timeout: I64, offset?: number) => I32;
}

/** 32-bit integers. */
export const i32: I32Namespace = {
  ...int,
  const: constant,
  from: integer,
  load: access(int, [0x28], 2),
  load8: access(int, [0x2c], 0),
  load8Unsigned: access(int, [0x2d], 0),
  load16Unsigned: access(int, [0x2f], 1),
  atomicLoad: access(int, [0xfe, 0x10], 2),
  atomicAdd: access(int, [0xfe, 0x1e], 2, 2),
  atomicNotify: access(int, [0xfe, 0x00], 2, 2),
  atomicWait: access(int, [0xfe, 0x01], 2, 3),
};

interface I64Namespace extends ValueType<I64> {
  /** A constant, of those that a number holds exactly. */
  readonly const: (value: number | bigint) => I64;
  /** The bits of a float64. */
  readonly reinterpret: (value: F64) => I64;
  /** From an unsigned 32-bit integer. */
  readonly extendUnsigned: (value: I32) => I64;
  /** Atomic load of eight aligned bytes. */
  readonly atomicLoad: Load<I64>;
  /** Atomically replaces what equals `expected` and gives the old value. */
  readonly atomicCompareExchange: (address: I32, expected: I64, value: I64, offset?: number) => I64;
}

/** 64-bit integers. */
export const i64: I64Namespace = {
  ...long,
  const: (value) => long.of([0x42, ...signed(Number(value))]),
  reinterpret: instruction(long, [0xbd]),
  extendUnsigned: instruction(long, [0xad]),
  atomicLoad: access(long, [0xfe, 0x11], 3),
  atomicCompareExchange: access(long, [0xfe, 0x49], 3, 3),
};

interface F32Namespace extends ValueType<F32> {
  /** A constant. */
  readonly const: (value: number) => F32;
  /** Four bytes. */
  readonly load: Load<F32>;
  /** From a float64, rounded. */
  readonly demote: (value: F64) => F32;
  /** From the bits of an integer. */
  readonly reinterpret: (value: I32) => F32;
}

/** float32 numbers. */
export const f32: F32Namespace = {
  ...single,
  const: (value) => single.of([0x43, ...bytesOf(Float32Array.of(value))]),
  load: access(single, [0x2a], 2),
  demote: instruction(single, [0xb6]),
  reinterpret: instruction(single, [0xbe]),
};

interface F64Namespace extends ValueType<F64> {
  /** A constant. */
  readonly const: (value: number) => F64;
  /** From a signed 64-bit integer. */
  readonly convertI64: (value: I64) => F64;
  /** From a float32. */
  readonly promote: (value: F32) => F64;
  /** From the bits of an integer. */
  readonly reinterpret: (value: I64) => F64;
}

/** float64 numbers. */
export const f64: F64Namespace = {
  ...double,
  const: (value) => double.of([0x44, ...bytesOf(Float64Array.of(value))]),
  convertI64: instruction(double, [0xb9]),
  promote: instruction(double, [0xbb]),
  reinterpret: instruction(double, [0xbf]),
};

interface V128Namespace extends ValueType<V128> {
  /** A constant. */
  readonly const: (lanes: ArrayBufferView) => V128;
  /** The vector of zeros. */
  readonly zero: () => V128;
  /** Sixteen bytes. */
  readonly load: Load<V128>;
  /** Four uint16 widened to 32 bits. */
  readonly load16x4Unsigned: Load<V128>;
  /** Four bytes in all lanes. */
  readonly load32Splat: Load<V128>;
  /** Four bytes in lane 0, zeros above. */
  readonly load32Zero: Load<V128>;
  /** Eight bytes in the low half, zeros above. */
  readonly load64Zero: Load<V128>;
  /** `into` with one 32-bit lane loaded. */
  readonly load32Lane: (address: I32, into: V128, lane: number, offset?: number) => V128;
  /** Bits of `a` where the mask is set, of `b` elsewhere. */
  readonly bitselect: (a: V128, b: V128, mask: V128) => V128;
}

const load32Lane = access(vector, simd(86), 2, 2);

/** 128-bit vectors. */
export const v128: V128Namespace = {
  ...vector,
  const: (lanes) => vector.of([...simd(12), ...bytesOf(lanes)]),
  zero: () => v128.const(new Uint8Array(16)),
  load: access(vector, simd(0), 2),
  load16x4Unsigned: access(vector, simd(4), 1),
  load32Splat: access(vector, simd(9), 2),
  load32Zero: access(vector, simd(92), 2),
  load64Zero: access(vector, simd(93), 2),
  load32Lane: (address, into, lane, offset) => vector.of([load32Lane(address, into, offset), lane]),
  bitselect: instruction(vector, simd(82)),
};
