/**
 * Elementwise operations: one scalar function per element, inputs broadcast against each other.
 *
 * Each core operation is a scalar function with its derivative; the others are written in them.
 * Derivatives are returned in the broadcast shape; autograd sums them back to the operand's.
 * Derivatives at kinks follow PyTorch: relu and abs have derivative 0 at 0, maximum and minimum
 * split evenly at ties, clamp passes the cotangent at its bounds.
 */

import { check } from "../error.js";
import type {
  BinaryFunction,
  ComparisonFunction,
  RandomFunction,
  ScalarFunction,
  UnaryFunction,
} from "../graph/scalar-function.js";
import {
  applyOne,
  makeOp,
  type GradientRule,
  type Op,
  type Spec,
  type Value,
} from "../graph/node.js";
import { computeType, isFloat, promote, type DType } from "../tensor/dtype.js";
import { broadcastShapes, type Shape } from "../tensor/shape.js";
import { constant } from "./leaf.js";

function broadcast(op: string, inputs: readonly Spec[]): Shape {
  let shape = inputs[0]!.shape;
  for (let i = 1; i < inputs.length; i++) shape = broadcastShapes(op, shape, inputs[i]!.shape);
  return shape;
}

/** The derivative of a scalar function: from the cotangent of the result to those of the operands. */
type Derivative = (
  cotangent: Value,
  operands: readonly Value[],
  result: Value,
) => readonly (Value | null)[];

function scalarOp(name: ScalarFunction, result: "same" | "bool", derivative?: Derivative): Op {
  const gradient: GradientRule = (node, [cotangent], needed) =>
    derivative!(cotangent!, node.inputs, node.outputs[0]!).map((value, i) =>
      needed[i] === true ? value : null,
    );
  return makeOp({
    name,
    kind: "elementwise",
    infer: (inputs) => [
      {
        shape: broadcast(name, inputs),
        dtype: result === "bool" ? "bool" : inputs[inputs.length - 1]!.dtype,
      },
    ],
    ...(derivative && { gradient }),
  });
}

const one = (): Value => constant(1);
const half = (): Value => constant(0.5);

const unaryOps: Record<UnaryFunction, Op> = {
  negate: scalarOp("negate", "same", (g) => [negate(g)]),
  abs: scalarOp("abs", "same", (g, [x]) => [multiply(g, sign(x!))]),
  sign: scalarOp("sign", "same", () => [null]),
  floor: scalarOp("floor", "same", () => [null]),
  ceil: scalarOp("ceil", "same", () => [null]),
  round: scalarOp("round", "same", () => [null]),
  trunc: scalarOp("trunc", "same", () => [null]),
  sqrt: scalarOp("sqrt", "same", (g, _, y) => [divide(multiply(g, half()), y)]),
  exp: scalarOp("exp", "same", (g, _, y) => [multiply(g, y)]),
  expm1: scalarOp("expm1", "same", (g, _, y) => [multiply(g, add(y, one()))]),
  log: scalarOp("log", "same", (g, [x]) => [divide(g, x!)]),
  log1p: scalarOp("log1p", "same", (g, [x]) => [divide(g, add(x!, one()))]),
  sin: scalarOp("sin", "same", (g, [x]) => [multiply(g, cos(x!))]),
  cos: scalarOp("cos", "same", (g, [x]) => [negate(multiply(g, sin(x!)))]),
  tanh: scalarOp("tanh", "same", (g, _, y) => [multiply(g, subtract(one(), multiply(y, y)))]),
  sigmoid: scalarOp("sigmoid", "same", (g, _, y) => [multiply(g, multiply(y, subtract(one(), y)))]),
  erf: scalarOp("erf", "same", (g, [x]) => [
    multiply(g, multiply(constant(2 / Math.sqrt(Math.PI)), exp(negate(multiply(x!, x!))))),
  ]),
  not: scalarOp("not", "same"),
};

/** Where `a` is the extreme the cotangent goes to `a`, at ties half of it to each. */
function extremeDerivative(isExtreme: (a: Value, b: Value) => Value): Derivative {
  return (g, [a, b]) => {
    const share = multiply(g, where(equal(a!, b!), half(), one()));
    return [where(isExtreme(b!, a!), zero(), share), where(isExtreme(a!, b!), zero(), share)];
  };
}

const binaryOps: Record<BinaryFunction, Op> = {
  add: scalarOp("add", "same", (g) => [g, g]),
  subtract: scalarOp("subtract", "same", (g) => [g, negate(g)]),
  multiply: scalarOp("multiply", "same", (g, [a, b]) => [multiply(g, b!), multiply(g, a!)]),
  divide: scalarOp("divide", "same", (g, [, b], y) => [
    divide(g, b!),
    negate(divide(multiply(g, y), b!)),
  ]),
  remainder: scalarOp("remainder", "same", (g, [a, b]) => [
    g,
    negate(multiply(g, floor(divide(a!, b!)))),
  ]),
  power: scalarOp("power", "same", (g, [a, b], y) => [
    // 0 exponent: derivative 0 also where a^(b-1) is infinite.
    where(equal(b!, zero()), zero(), multiply(g, multiply(b!, power(a!, subtract(b!, one()))))),
    // 0 base: y log a is 0 · -∞; the limit is 0.
    where(equal(a!, zero()), zero(), multiply(g, multiply(y, log(a!)))),
  ]),
  maximum: scalarOp(
    "maximum",
    "same",
    extremeDerivative((a, b) => less(b, a)),
  ),
  minimum: scalarOp(
    "minimum",
    "same",
    extremeDerivative((a, b) => less(a, b)),
  ),
  and: scalarOp("and", "same"),
  or: scalarOp("or", "same"),
  xor: scalarOp("xor", "same"),
  shiftLeft: scalarOp("shiftLeft", "same"),
  shiftRight: scalarOp("shiftRight", "same"),
};

const comparisonOps: Record<ComparisonFunction, Op> = {
  equal: scalarOp("equal", "bool"),
  notEqual: scalarOp("notEqual", "bool"),
  less: scalarOp("less", "bool"),
  lessEqual: scalarOp("lessEqual", "bool"),
};

const randomOps: Record<RandomFunction, Op> = {
  threefry0: scalarOp("threefry0", "same"),
  threefry1: scalarOp("threefry1", "same"),
};

const whereOp = scalarOp("where", "same", (g, [condition]) => [
  null,
  where(condition!, g, zero()),
  where(condition!, zero(), g),
]);

const castOp = makeOp({
  name: "cast",
  kind: "elementwise",
  infer: ([x], { dtype }) => [{ shape: x!.shape, dtype: dtype as DType }],
  gradient: (node, [g]) => [cast(g!, node.inputs[0]!.dtype)],
});

function zero(): Value {
  return constant(0);
}

function unary(name: UnaryFunction, x: Value): Value {
  return applyOne(unaryOps[name], [cast(x, arithmeticType(x.dtype, x.dtype))]);
}

/** A rounding function; integers are whole already. */
function roundingUnary(name: UnaryFunction, x: Value): Value {
  return isFloat(x.dtype) ? unary(name, x) : cast(x, arithmeticType(x.dtype, x.dtype));
}

/** A function that makes sense for floating-point numbers only; others are converted first. */
function floatUnary(name: UnaryFunction, x: Value): Value {
  return applyOne(unaryOps[name], [cast(x, "float32")]);
}

function binary(name: BinaryFunction, a: Value, b: Value): Value {
  const dtype = arithmeticType(a.dtype, b.dtype);
  return applyOne(binaryOps[name], [cast(a, dtype), cast(b, dtype)]);
}

function arithmeticType(a: DType, b: DType): DType {
  const dtype = promote(a, b);
  return dtype === "bool" ? "int32" : dtype;
}

function bitwise(name: "and" | "or" | "xor", a: Value, b: Value): Value {
  const dtype = promote(a.dtype, b.dtype);
  check(
    !isFloat(dtype),
    "dtype",
    () =>
      `${name}: both tensors must be bool or integer, got ${a.dtype} and ${b.dtype}. Cast them.`,
  );
  return applyOne(binaryOps[name], [cast(a, dtype), cast(b, dtype)]);
}

function compare(name: ComparisonFunction, a: Value, b: Value): Value {
  const dtype = promote(a.dtype, b.dtype);
  return applyOne(comparisonOps[name], [cast(a, dtype), cast(b, dtype)]);
}

/** `x` with element type `dtype`; `x` itself if it has it already. */
export function cast(x: Value, dtype: DType): Value {
  return x.dtype === dtype ? x : applyOne(castOp, [x], { dtype });
}

export const negate = (x: Value): Value => unary("negate", x);
export const abs = (x: Value): Value => unary("abs", x);
export const sign = (x: Value): Value => unary("sign", x);
export const floor = (x: Value): Value => roundingUnary("floor", x);
export const ceil = (x: Value): Value => roundingUnary("ceil", x);
export const round = (x: Value): Value => roundingUnary("round", x);
export const trunc = (x: Value): Value => roundingUnary("trunc", x);
export const sqrt = (x: Value): Value => floatUnary("sqrt", x);
export const exp = (x: Value): Value => floatUnary("exp", x);
export const expm1 = (x: Value): Value => floatUnary("expm1", x);
export const log = (x: Value): Value => floatUnary("log", x);
export const log1p = (x: Value): Value => floatUnary("log1p", x);
export const sin = (x: Value): Value => floatUnary("sin", x);
export const cos = (x: Value): Value => floatUnary("cos", x);
export const tanh = (x: Value): Value => floatUnary("tanh", x);
export const sigmoid = (x: Value): Value => floatUnary("sigmoid", x);
export const erf = (x: Value): Value => floatUnary("erf", x);
export const not = (x: Value): Value => applyOne(unaryOps.not, [cast(x, "bool")]);

export const add = (a: Value, b: Value): Value => binary("add", a, b);
export const subtract = (a: Value, b: Value): Value => binary("subtract", a, b);
export const multiply = (a: Value, b: Value): Value => binary("multiply", a, b);
/** a / b in floating point, as PyTorch's true division. */
export const divide = (a: Value, b: Value): Value =>
  binary("divide", cast(a, "float32"), cast(b, "float32"));
/** a / b truncated toward zero, for integers. */
export const integerDivide = (a: Value, b: Value): Value => binary("divide", a, b);
export const remainder = (a: Value, b: Value): Value => binary("remainder", a, b);
/** a / b rounded toward −∞; integers stay integers. */
export function floorDivide(a: Value, b: Value): Value {
  const dtype = arithmeticType(a.dtype, b.dtype);
  if (isFloat(dtype)) return floor(divide(a, b));
  return integerDivide(subtract(a, remainder(a, b)), b);
}
export const power = (a: Value, b: Value): Value =>
  binary("power", cast(a, "float32"), cast(b, "float32"));
export const maximum = (a: Value, b: Value): Value => binary("maximum", a, b);
export const minimum = (a: Value, b: Value): Value => binary("minimum", a, b);
export const and = (a: Value, b: Value): Value => bitwise("and", a, b);
export const or = (a: Value, b: Value): Value => bitwise("or", a, b);
export const xor = (a: Value, b: Value): Value => bitwise("xor", a, b);
export const shiftLeft = (a: Value, b: Value): Value => binary("shiftLeft", a, b);
export const shiftRight = (a: Value, b: Value): Value => binary("shiftRight", a, b);

export const equal = (a: Value, b: Value): Value => compare("equal", a, b);
export const notEqual = (a: Value, b: Value): Value => compare("notEqual", a, b);
export const less = (a: Value, b: Value): Value => compare("less", a, b);
export const lessEqual = (a: Value, b: Value): Value => compare("lessEqual", a, b);

/** A word of the Threefry block of (key0, key1, counter0, counter1), all uint32. */
export function threefry(word: 0 | 1, operands: readonly [Value, Value, Value, Value]): Value {
  return applyOne(word === 0 ? randomOps.threefry0 : randomOps.threefry1, operands);
}

/** `a` where `condition` holds, else `b`. */
export function where(condition: Value, a: Value, b: Value): Value {
  const dtype = promote(a.dtype, b.dtype);
  return applyOne(whereOp, [cast(condition, "bool"), cast(a, dtype), cast(b, dtype)]);
}

// Composed functions.

export const square = (x: Value): Value => multiply(x, x);
export const reciprocal = (x: Value): Value => divide(one(), x);
export const reciprocalSqrt = (x: Value): Value => divide(one(), sqrt(x));
export const relu = (x: Value): Value => where(lessEqual(x, zeroOf(x)), zeroOf(x), x);
export const silu = (x: Value): Value => multiply(x, sigmoid(x));

/** log(sigmoid(x)) = min(x, 0) − log(1 + e^(−|x|)). */
export const logSigmoid = (x: Value): Value =>
  subtract(minimum(x, zeroOf(x)), log1p(exp(negate(abs(x)))));

/** x to a power that is better written otherwise, or `null` where it is not. */
export function constantPower(x: Value, exponent: number): Value | null {
  switch (exponent) {
    case 0:
      // Keeps the shape and the (zero) gradient of x.
      return where(constant(1, "bool"), constant(1, zeroOf(x).dtype), x);
    case 0.5:
      return sqrt(x);
    case 1:
      return x;
    case 2:
      return square(x);
    case 3:
      return multiply(square(x), x);
    case -1:
      return reciprocal(x);
    default:
      return null;
  }
}

/** 0 of the arithmetic type of `x`. */
export function zeroOf(x: Value): Value {
  return constant(0, computeType(x.dtype));
}

/** GELU: x Φ(x), exact (`"none"`) or by its tanh approximation. */
export function gelu(x: Value, approximate: "none" | "tanh"): Value {
  if (approximate === "none") {
    const distribution = add(erf(multiply(x, constant(Math.SQRT1_2))), one());
    return multiply(multiply(x, half()), distribution);
  }
  const cubic = multiply(constant(0.044715), multiply(x, multiply(x, x)));
  const inner = multiply(constant(Math.sqrt(2 / Math.PI)), add(x, cubic));
  return multiply(multiply(x, half()), add(tanh(inner), one()));
}

/** log(1 + exp(βx)) / β, linear where βx > threshold. */
export function softplus(x: Value, beta: number, threshold: number): Value {
  const scaled = multiply(x, constant(beta));
  const isLinear = less(constant(threshold), scaled);
  // The unused branch must stay finite, or its derivative turns into NaN.
  const bounded = where(isLinear, zero(), scaled);
  const value = add(maximum(bounded, zero()), log1p(exp(negate(abs(bounded)))));
  return where(isLinear, x, divide(value, constant(beta)));
}

export function leakyRelu(x: Value, negativeSlope: Value): Value {
  return where(less(zeroOf(x), x), x, multiply(x, negativeSlope));
}

export function elu(x: Value, alpha: Value): Value {
  const isPositive = less(zeroOf(x), x);
  return where(isPositive, x, multiply(alpha, expm1(where(isPositive, zero(), x))));
}

/** `x` limited to [minimum, maximum]; the cotangent passes at the bounds. */
export function clamp(x: Value, low: Value | null, high: Value | null): Value {
  let result = x;
  if (low !== null) result = where(less(x, low), low, result);
  if (high !== null) result = where(less(high, x), high, result);
  return result;
}
