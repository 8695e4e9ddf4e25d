/**
 * Vector instructions by the lanes they work on: `f32x4`, `f64x2`, `i32x4`, `i16x8`, `i8x16`.
 *
 * The opcodes of the shapes follow the same pattern from different bases.
 */

import { simd } from "./code.js";
import type { Expression, F32, F64, I32, I32Like, V128, ValueType } from "./expression.js";
import {
  f32,
  f64,
  floatComparisons,
  i32,
  instruction,
  type Instruction,
  type Instructions,
  instructions,
  integerComparisons,
  v128,
} from "./types.js";

/** Of one vector. */
type Unary = (a: V128) => V128;
/** Of two vectors, lane by lane. */
type Binary = (a: V128, b: V128) => V128;
/** Of three vectors, lane by lane. */
type Ternary = (a: V128, b: V128, c: V128) => V128;
/** Of a vector and a number of bits that is the same for all lanes. */
type Shift = (a: V128, count: I32Like) => V128;

interface ArithmeticLanes {
  /** The magnitude of each lane. */
  readonly abs: Unary;
  /** `-a`. */
  readonly negate: Unary;
  /** `a + b`. */
  readonly add: Binary;
  /** `a - b`. */
  readonly subtract: Binary;
  /** `a * b`; of integers the low halves. */
  readonly multiply: Binary;
  /** The smaller; of floats NaN if either is NaN (several machine instructions). */
  readonly minimum: Binary;
  /** The larger; of floats NaN if either is NaN (several machine instructions). */
  readonly maximum: Binary;
  /** `a == b` as a lane mask. */
  readonly equal: Binary;
  /** `a != b` as a lane mask; set for NaN. */
  readonly notEqual: Binary;
  /** `a < b` as a lane mask. */
  readonly less: Binary;
  /** `a > b` as a lane mask. */
  readonly greater: Binary;
  /** `a <= b` as a lane mask. */
  readonly lessEqual: Binary;
  /** `a >= b` as a lane mask. */
  readonly greaterEqual: Binary;
}

interface FloatLanes extends ArithmeticLanes {
  /** Square roots. */
  readonly sqrt: Unary;
  /** `a / b`. */
  readonly divide: Binary;
  /** `b < a ? b : a`, one machine instruction. */
  readonly pseudoMinimum: Binary;
  /** `a < b ? b : a`, one machine instruction. */
  readonly pseudoMaximum: Binary;
  /** The smallest integers not below. */
  readonly ceil: Unary;
  /** The largest integers not above. */
  readonly floor: Unary;
  /** The integer parts. */
  readonly trunc: Unary;
  /** The nearest integers, half to even. */
  readonly nearest: Unary;
  /** `a * b + c`, fused where the machine can. Relaxed SIMD only; see `ModuleBuilder.madd`. */
  readonly relaxedMadd: Ternary;
  /** `c - a * b`, fused where the machine can. Relaxed SIMD only; see `ModuleBuilder.nmadd`. */
  readonly relaxedNmadd: Ternary;
}

interface SingleLanes<T> {
  /** The value of one lane. */
  readonly extractLane: (a: V128, lane: number) => T;
  /** `a` with one lane replaced. */
  readonly replaceLane: (a: V128, lane: number, value: T) => V128;
  /** One value in all lanes; a number becomes a vector constant. */
  readonly splat: (a: T | number) => V128;
}

interface F32x4 extends FloatLanes, SingleLanes<F32> {
  /** A constant vector. */
  readonly const: (...lanes: [number, number, number, number]) => V128;
  /** From int32 lanes. */
  readonly convertI32x4: Unary;
  /** From uint32 lanes. */
  readonly convertI32x4Unsigned: Unary;
  /** Two float64 lanes rounded into the low lanes; the high lanes are 0. */
  readonly demoteF64x2Zero: Unary;
}

interface F64x2 extends FloatLanes, SingleLanes<F64> {
  /** The two low float32 lanes, widened. */
  readonly promoteLowF32x4: Unary;
  /** The two low int32 lanes. */
  readonly convertLowI32x4: Unary;
  /** The two low uint32 lanes. */
  readonly convertLowI32x4Unsigned: Unary;
}

interface I32x4 extends ArithmeticLanes, SingleLanes<I32> {
  /** A constant vector. */
  readonly const: (...lanes: [number, number, number, number]) => V128;
  /** Whether no lane is 0. */
  readonly allTrue: (a: V128) => I32;
  /** The sign bits of the lanes, lane 0 lowest. */
  readonly bitmask: (a: V128) => I32;
  /** All lanes shifted to the left by the same count. */
  readonly shiftLeft: Shift;
  /** All lanes shifted to the right by the same count, keeping the sign. */
  readonly shiftRight: Shift;
  /** All lanes shifted to the right by the same count, filling with zeros. */
  readonly shiftRightUnsigned: Shift;
  /** `a < b` of unsigned lanes as a lane mask. */
  readonly lessUnsigned: Binary;
  /** `a > b` of unsigned lanes as a lane mask. */
  readonly greaterUnsigned: Binary;
  /** `a <= b` of unsigned lanes as a lane mask. */
  readonly lessEqualUnsigned: Binary;
  /** `a >= b` of unsigned lanes as a lane mask. */
  readonly greaterEqualUnsigned: Binary;
  /** The smaller of unsigned lanes. */
  readonly minimumUnsigned: Binary;
  /** The larger of unsigned lanes. */
  readonly maximumUnsigned: Binary;
  /** The low four 16-bit lanes, sign-extended. */
  readonly extendLow: Unary;
  /** The low four 16-bit lanes, zero-extended. */
  readonly extendLowUnsigned: Unary;
  /** From float32, toward zero, saturating, NaN to 0. */
  readonly truncateF32x4: Unary;
  /** The same to uint32 lanes. */
  readonly truncateF32x4Unsigned: Unary;
  /** From two float64 into the low lanes; the high lanes are 0. */
  readonly truncateF64x2Zero: Unary;
  /** The same to uint32 lanes. */
  readonly truncateF64x2ZeroUnsigned: Unary;
  /** Lanes of `a` (0 … 3) and `b` (4 … 7) in constant order. */
  readonly shuffle: (a: V128, b: V128, lanes: readonly number[]) => V128;
}

interface I16x8 {
  /** Lanes of `a`, then of `b`, twice as wide (signed), narrowed with unsigned saturation. */
  readonly narrowUnsigned: Binary;
  /** The low 8 bytes, sign-extended. */
  readonly extendLow: Unary;
  /** The low 8 bytes, zero-extended. */
  readonly extendLowUnsigned: Unary;
}

interface I8x16 {
  /** Bytes of `a` (0 … 15) and `b` (16 … 31) in constant order. */
  readonly shuffle: (a: V128, b: V128, lanes: readonly number[]) => V128;
}

function vectorInstruction(opcode: number): Instruction<V128> {
  return instruction(v128, simd(opcode));
}

function vectorInstructions(names: string, first: number): Instructions<V128> {
  return instructions(v128, names, first, simd);
}

function singleLanes<T extends Expression>(
  type: ValueType<T>,
  splat: number,
  extract: number,
  constant: (value: number) => V128,
): SingleLanes<T> {
  return {
    extractLane: (a, lane) => type.of([a, ...simd(extract), lane]),
    replaceLane: (a, lane, value) => v128.of([a, value, ...simd(extract + 1), lane]),
    splat: (a) => (typeof a === "number" ? constant(a) : vectorInstruction(splat)(a)),
  };
}

// Both float shapes; their rounding instructions stand elsewhere.
function floatLanes(
  base: number,
  compare: number,
  relaxed: number,
  rounding: Instructions<V128>,
): FloatLanes {
  // Instructions are named by text; the interface says what they take.
  return {
    ...vectorInstructions(
      "abs negate - sqrt add subtract multiply divide minimum maximum pseudoMinimum pseudoMaximum",
      base,
    ),
    ...vectorInstructions(floatComparisons, compare),
    ...vectorInstructions("relaxedMadd relaxedNmadd", relaxed),
    ...rounding,
  } as unknown as FloatLanes;
}

/** Four float32 lanes. */
export const f32x4: F32x4 = {
  ...floatLanes(224, 65, 261, vectorInstructions("ceil floor trunc nearest", 103)),
  ...singleLanes(f32, 19, 31, (a) => f32x4.const(a, a, a, a)),
  const: (...lanes) => v128.const(Float32Array.from(lanes)),
  convertI32x4: vectorInstruction(250),
  convertI32x4Unsigned: vectorInstruction(251),
  demoteF64x2Zero: vectorInstruction(94),
};

/** Two float64 lanes. */
export const f64x2: F64x2 = {
  ...floatLanes(236, 71, 263, {
    ...vectorInstructions("ceil floor", 116),
    trunc: vectorInstruction(122),
    nearest: vectorInstruction(148),
  }),
  ...singleLanes(f64, 20, 33, (a) => v128.const(Float64Array.of(a, a))),
  promoteLowF32x4: vectorInstruction(95),
  convertLowI32x4: vectorInstruction(254),
  convertLowI32x4Unsigned: vectorInstruction(255),
};

const i8x16Shuffle = (a: V128, b: V128, lanes: readonly number[]): V128 =>
  v128.of([a, b, ...simd(13), ...lanes]);

/** Four 32-bit lanes. */
export const i32x4: I32x4 = {
  // Instructions are named by text; the interface says what they take.
  ...(vectorInstructions(
    "abs negate - - - - - extendLow - extendLowUnsigned - shiftLeft shiftRight shiftRightUnsigned add - - subtract - - - multiply minimum minimumUnsigned maximum maximumUnsigned",
    160,
  ) as unknown as I32x4),
  ...vectorInstructions(integerComparisons, 55),
  ...singleLanes(i32, 17, 27, (a) => i32x4.const(a, a, a, a)),
  const: (...lanes) => v128.const(Int32Array.from(lanes)),
  allTrue: instruction(i32, simd(163)),
  bitmask: instruction(i32, simd(164)),
  ...vectorInstructions("truncateF32x4 truncateF32x4Unsigned", 248),
  ...vectorInstructions("truncateF64x2Zero truncateF64x2ZeroUnsigned", 252),
  shuffle: (a, b, lanes) =>
    i8x16Shuffle(
      a,
      b,
      lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)),
    ),
};

/** Eight 16-bit lanes. */
export const i16x8: I16x8 = {
  narrowUnsigned: vectorInstruction(134),
  extendLow: vectorInstruction(135),
  extendLowUnsigned: vectorInstruction(137),
};

/** Sixteen 8-bit lanes. */
export const i8x16: I8x16 = { shuffle: i8x16Shuffle };
