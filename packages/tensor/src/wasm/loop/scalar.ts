/** The scalar functions of the loop kernel, four elements at a time. */

import { XError } from "../../error.js";
import type { ScalarFunction } from "../../graph/scalar-function.js";
import type { DType } from "../../tensor/dtype.js";
import { f32x4, i32x4, v128, type V128 } from "../assembler/index.js";
import {
  cos,
  divideInt32,
  divideUint32,
  erf,
  exp,
  expm1,
  float,
  integer,
  log,
  log1p,
  type MathContext,
  power,
  remainderFloat32,
  remainderInt32,
  remainderUint32,
  sigmoid,
  signFloat32,
  signInt32,
  sin,
  tanh,
} from "../math/index.js";
import { castLanes, type Lanes, lanesOf } from "./storage.js";

/** An operand: its vector, and its value if it is the same constant in all lanes. */
export interface Operand {
  readonly value: V128;
  readonly dtype: DType;
  readonly constant?: number | undefined;
}

type Instruction = (...operands: V128[]) => V128;
type Table = Partial<Record<ScalarFunction, (c: MathContext, ...operands: V128[]) => V128>>;

const bitwise: Table = {
  and: (_, a, b) => a.and(b),
  or: (_, a, b) => a.or(b),
  xor: (_, a, b) => a.xor(b),
};

const identity = (_: MathContext, x: V128): V128 => x;
const integers: Table = {
  ...bitwise,
  floor: identity,
  ceil: identity,
  round: identity,
  trunc: identity,
};

// What is not an instruction of the same name.
const functions: Record<Lanes, Table> = {
  float: {
    sign: signFloat32,
    round: (_, x) => f32x4.nearest(x),
    exp,
    expm1,
    log,
    log1p,
    sin,
    cos,
    tanh,
    sigmoid,
    erf,
    remainder: remainderFloat32,
    power,
  },
  int: { ...integers, sign: signInt32, divide: divideInt32, remainder: remainderInt32 },
  uint: {
    ...integers,
    abs: identity,
    sign: (c, x) => i32x4.notEqual(x, integer(c, 0)).and(integer(c, 1)),
    divide: divideUint32,
    remainder: remainderUint32,
  },
  // Masks: false is 0, true is -1.
  bool: {
    ...bitwise,
    not: (_, x) => x.not(),
    multiply: (_, a, b) => a.and(b),
    add: (_, a, b) => a.or(b),
    maximum: (_, a, b) => a.or(b),
    minimum: (_, a, b) => a.and(b),
    equal: (_, a, b) => a.xor(b).not(),
    notEqual: (_, a, b) => a.xor(b),
    less: (_, a, b) => b.andNot(a),
    lessEqual: (_, a, b) => a.not().or(b),
  },
};

// The instruction of a name, of the unsigned kind where there are two.
function instructionOf(lanes: Lanes, name: ScalarFunction): Instruction | undefined {
  if (lanes === "bool") return undefined;
  // Not every shape of lanes has every instruction: looked up by name, it may be absent.
  const shape = (lanes === "float" ? f32x4 : i32x4) as unknown as Partial<
    Record<string, Instruction>
  >;
  return (lanes === "uint" ? shape[`${name}Unsigned`] : undefined) ?? shape[name];
}

// There are no shifts by lanes: each lane is shifted on its own.
function shiftByLane(
  c: MathContext,
  first: V128,
  second: V128,
  shift: (typeof i32x4)["shiftLeft"],
): V128 {
  const { f } = c;
  const [a, counts] = [f.keep(first), f.keep(second)];
  const result = f.let(a);
  for (let lane = 0; lane < 4; lane++) {
    const shifted = shift(a, i32x4.extractLane(counts, lane));
    f.set(result, i32x4.replaceLane(result, lane, i32x4.extractLane(shifted, lane)));
  }
  return result;
}

// x to a small constant power, where that is exact or nearly so without logarithms.
function constantPower(c: MathContext, base: V128, exponent: number): V128 | null {
  if (![-2, -1, -0.5, 0.5, 1, 2, 3, 4].includes(exponent)) return null;
  const { f } = c;
  const x = f.keep(base);
  const times = f32x4.multiply;
  let result = x;
  switch (Math.abs(exponent)) {
    case 0.5:
      // (-∞)^±½ is +∞ or 0, and (-0)^½ is +0, unlike the square root.
      result = f32x4.sqrt(
        v128.bitselect(
          float(c, Infinity),
          f32x4.add(x, float(c, 0)),
          f32x4.equal(x, float(c, -Infinity)),
        ),
      );
      break;
    case 2:
      result = times(x, x);
      break;
    case 3:
      result = times(times(x, x), x);
      break;
    case 4: {
      const square = f.let(times(x, x));
      result = times(square, square);
    }
  }
  return exponent < 0 ? f32x4.divide(float(c, 1), result) : result;
}

// The larger or smaller of x and a constant in an instruction or two; NaN stays because comparisons
// with it fail.
function constantBound(c: MathContext, name: string, x: V128, bound: number): V128 {
  if (name === "minimum") return f32x4.pseudoMinimum(x, float(c, bound));
  if (bound !== 0) return f32x4.pseudoMaximum(x, float(c, bound));
  // The larger of -0 and 0 is 0.
  const kept = c.f.keep(x);
  return kept.andNot(f32x4.lessEqual(kept, float(c, 0)));
}

// Shorter code where an operand is a constant.
function applyConstant(
  c: MathContext,
  name: ScalarFunction,
  lanes: Lanes,
  [a, b]: readonly [Operand, Operand],
): V128 | null {
  if (lanes !== "float") return null;
  if (name === "power" && b.constant !== undefined) return constantPower(c, a.value, b.constant);
  if (name !== "maximum" && name !== "minimum") return null;
  const [bound, other] = b.constant === undefined ? [a.constant, b] : [b.constant, a];
  if (bound === undefined || Number.isNaN(bound) || Object.is(bound, -0)) return null;
  return constantBound(c, name, other.value, bound);
}

/** The value of a scalar function other than the random ones. */
export function applyScalar(
  c: MathContext,
  name: ScalarFunction,
  operands: readonly Operand[],
  result: DType,
): V128 {
  const [a, b] = operands as readonly [Operand, Operand];
  const values = operands.map(({ value }) => value) as [V128, V128, V128];
  if (name === "cast") return castLanes(c, a.value, a.dtype, result);
  if (name === "where") return v128.bitselect(values[1], values[2], values[0]);
  const lanes = lanesOf(a.dtype);
  if (name === "shiftLeft" || name === "shiftRight") {
    // Shifts take a scalar where the others take lanes.
    const shift = instructionOf(lanes, name) as unknown as (typeof i32x4)["shiftLeft"];
    return b.constant === undefined
      ? shiftByLane(c, a.value, b.value, shift)
      : shift(a.value, b.constant);
  }
  const simple = applyConstant(c, name, lanes, [a, b]);
  if (simple) return simple;
  const code = functions[lanes][name];
  if (code) return code(c, ...values);
  const instruction = instructionOf(lanes, name);
  if (instruction) return instruction(...values);
  throw new XError(
    "internal",
    `wasm: loop kernels must use functions on types they are defined for, got ${name} of ${a.dtype}. Please report this.`,
  );
}

// Rough costs in vector instructions, where they are not 1.
const costs: Partial<Record<ScalarFunction, number>> = {
  exp: 25,
  expm1: 25,
  tanh: 25,
  sigmoid: 25,
  erf: 25,
  log: 25,
  log1p: 25,
  remainder: 25,
  sin: 40,
  cos: 40,
  power: 100,
  threefry0: 100,
  threefry1: 100,
  sqrt: 4,
  shiftLeft: 8,
  shiftRight: 8,
  divide: 15,
};
const floatCosts: typeof costs = { divide: 3, maximum: 4, minimum: 4 };

/** Rough cost of a scalar function in vector instructions. */
export function scalarCost(name: ScalarFunction, dtype: DType): number {
  return (dtype === "float32" ? floatCosts[name] : undefined) ?? costs[name] ?? 1;
}
