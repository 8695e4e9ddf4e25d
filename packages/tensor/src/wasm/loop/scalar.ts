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

type Code = (c: MathContext, ...operands: V128[]) => V128;
type Table = Partial<Record<ScalarFunction, Code>>;

const identity: Code = (_, x) => x;
const bitwise: Table = {
  and: (_, a, b) => a.and(b),
  or: (_, a, b) => a.or(b),
  xor: (_, a, b) => a.xor(b),
};

const floats: Table = {
  negate: (_, x) => f32x4.negate(x),
  abs: (_, x) => f32x4.abs(x),
  sign: (c, x) => signFloat32(c, x),
  floor: (_, x) => f32x4.floor(x),
  ceil: (_, x) => f32x4.ceil(x),
  round: (_, x) => f32x4.nearest(x),
  trunc: (_, x) => f32x4.trunc(x),
  sqrt: (_, x) => f32x4.sqrt(x),
  exp: (c, x) => exp(c, x),
  expm1: (c, x) => expm1(c, x),
  log: (c, x) => log(c, x),
  log1p: (c, x) => log1p(c, x),
  sin: (c, x) => sin(c, x),
  cos: (c, x) => cos(c, x),
  tanh: (c, x) => tanh(c, x),
  sigmoid: (c, x) => sigmoid(c, x),
  erf: (c, x) => erf(c, x),
  add: (_, a, b) => f32x4.add(a, b),
  subtract: (_, a, b) => f32x4.subtract(a, b),
  multiply: (_, a, b) => f32x4.multiply(a, b),
  divide: (_, a, b) => f32x4.divide(a, b),
  remainder: (c, a, b) => remainderFloat32(c, a, b),
  power: (c, a, b) => power(c, a, b),
  maximum: (_, a, b) => f32x4.maximum(a, b),
  minimum: (_, a, b) => f32x4.minimum(a, b),
  equal: (_, a, b) => f32x4.equal(a, b),
  notEqual: (_, a, b) => f32x4.notEqual(a, b),
  less: (_, a, b) => f32x4.less(a, b),
  lessEqual: (_, a, b) => f32x4.lessEqual(a, b),
};

const wholeNumbers: Table = {
  ...bitwise,
  negate: (_, x) => i32x4.negate(x),
  floor: identity,
  ceil: identity,
  round: identity,
  trunc: identity,
  add: (_, a, b) => i32x4.add(a, b),
  subtract: (_, a, b) => i32x4.subtract(a, b),
  multiply: (_, a, b) => i32x4.multiply(a, b),
  equal: (_, a, b) => i32x4.equal(a, b),
  notEqual: (_, a, b) => i32x4.notEqual(a, b),
  // There are no shifts by lanes: each lane is shifted on its own.
  shiftLeft: (c, a, b) =>
    byLane(c, a, b, (x, count) => i32x4.shiftLeft(x, i32x4.extractLane(count, 0))),
};

const integers: Table = {
  ...wholeNumbers,
  abs: (_, x) => i32x4.abs(x),
  sign: (c, x) => signInt32(c, c.f.keep(x)),
  divide: (c, a, b) => divideInt32(c, a, b),
  remainder: (c, a, b) => remainderInt32(c, a, b),
  maximum: (_, a, b) => i32x4.maximum(a, b),
  minimum: (_, a, b) => i32x4.minimum(a, b),
  less: (_, a, b) => i32x4.less(a, b),
  lessEqual: (_, a, b) => i32x4.lessEqual(a, b),
  shiftRight: (c, a, b) =>
    byLane(c, a, b, (x, count) => i32x4.shiftRight(x, i32x4.extractLane(count, 0))),
};

const unsignedIntegers: Table = {
  ...wholeNumbers,
  abs: identity,
  sign: (c, x) => i32x4.notEqual(x, integer(c, 0)).and(integer(c, 1)),
  divide: (c, a, b) => divideUint32(c, a, b),
  remainder: (c, a, b) => remainderUint32(c, a, b),
  maximum: (_, a, b) => i32x4.maximumUnsigned(a, b),
  minimum: (_, a, b) => i32x4.minimumUnsigned(a, b),
  less: (_, a, b) => i32x4.lessUnsigned(a, b),
  lessEqual: (_, a, b) => i32x4.lessEqualUnsigned(a, b),
  shiftRight: (c, a, b) =>
    byLane(c, a, b, (x, count) => i32x4.shiftRightUnsigned(x, i32x4.extractLane(count, 0))),
};

// Masks: false is 0, true is -1.
const booleans: Table = {
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
};

const tables: Record<Lanes, Table> = {
  float: floats,
  int: integers,
  uint: unsignedIntegers,
  bool: booleans,
};

// Applies a function that looks at lane 0 of its second operand to every lane.
function byLane(c: MathContext, first: V128, second: V128, code: (a: V128, b: V128) => V128): V128 {
  const { f } = c;
  const [a, b] = [f.keep(first), f.keep(second)];
  const result = f.let(code(a, b));
  for (let lane = 1; lane < 4; lane++) {
    const count = i32x4.shuffle(b, b, [lane, lane, lane, lane] as const);
    const value = i32x4.extractLane(code(a, count), lane);
    f.set(result, i32x4.replaceLane(result, lane, value));
  }
  return result;
}

// x to a small constant power, where that is exact or nearly so without logarithms.
function constantPower(c: MathContext, base: V128, exponent: number): V128 | null {
  const { f } = c;
  switch (exponent) {
    case 1:
      return base;
    case 2: {
      const x = f.keep(base);
      return f32x4.multiply(x, x);
    }
    case 3: {
      const x = f.keep(base);
      return f32x4.multiply(f32x4.multiply(x, x), x);
    }
    case 4: {
      const x = f.keep(base);
      const square = f.let(f32x4.multiply(x, x));
      return f32x4.multiply(square, square);
    }
    case -1:
      return f32x4.divide(float(c, 1), base);
    case -2: {
      const x = f.keep(base);
      return f32x4.divide(float(c, 1), f32x4.multiply(x, x));
    }
    case 0.5:
    case -0.5: {
      // (-∞)^±½ is +∞ or 0, and (-0)^½ is +0, unlike the square root.
      const x = f.keep(base);
      const negative = f32x4.equal(x, float(c, -Infinity));
      const root = f32x4.sqrt(
        v128.bitselect(float(c, Infinity), f32x4.add(x, float(c, 0)), negative),
      );
      return exponent > 0 ? root : f32x4.divide(float(c, 1), root);
    }
    default:
      return null;
  }
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

/** The value of a scalar function other than the random ones. */
export function applyScalar(
  c: MathContext,
  name: ScalarFunction,
  operands: readonly Operand[],
  result: DType,
): V128 {
  const values = operands.map((operand) => operand.value);
  const [a, b] = operands;
  if (name === "cast") return castLanes(c, a!.value, a!.dtype, result);
  if (name === "where") return v128.bitselect(values[1]!, values[2]!, values[0]!);
  const lanes = lanesOf(a!.dtype);
  if (lanes === "float") {
    if (name === "power" && b!.constant !== undefined) {
      const simple = constantPower(c, a!.value, b!.constant);
      if (simple) return simple;
    }
    if (name === "maximum" || name === "minimum") {
      const [bound, other] = b!.constant === undefined ? [a!, b!] : [b!, a!];
      const isPlain = !Number.isNaN(bound.constant) && !Object.is(bound.constant, -0);
      if (bound.constant !== undefined && isPlain) {
        return constantBound(c, name, other.value, bound.constant);
      }
    }
  }
  if ((name === "shiftLeft" || name === "shiftRight") && b!.constant !== undefined) {
    if (name === "shiftLeft") return i32x4.shiftLeft(a!.value, b!.constant);
    return lanes === "int"
      ? i32x4.shiftRight(a!.value, b!.constant)
      : i32x4.shiftRightUnsigned(a!.value, b!.constant);
  }
  const code = tables[lanes][name];
  if (!code) {
    throw new XError(
      "internal",
      `wasm: loop kernels must use functions on types they are defined for, got ${name} of ${a!.dtype}. Please report this.`,
    );
  }
  return code(c, ...values);
}

/** Rough cost of a scalar function in vector instructions. */
export function scalarCost(name: ScalarFunction, dtype: DType): number {
  switch (name) {
    case "exp":
    case "expm1":
    case "tanh":
    case "sigmoid":
    case "erf":
    case "log":
    case "log1p":
      return 25;
    case "sin":
    case "cos":
      return 40;
    case "power":
      return 100;
    case "threefry0":
    case "threefry1":
      return 100;
    case "remainder":
      return 25;
    case "divide":
      return dtype === "float32" ? 3 : 15;
    case "sqrt":
      return 4;
    case "shiftLeft":
    case "shiftRight":
      return 8;
    case "maximum":
    case "minimum":
      return dtype === "float32" ? 4 : 1;
    default:
      return 1;
  }
}
