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

/** What a scalar function takes: a value, or a constant of the type of the value it meets. */
export type Operand = Value | number;

type Unary = (x: Value) => Value;
type Binary = (a: Operand, b: Operand) => Value;

/** The derivative of a scalar function: from the cotangent of the result to those of the operands. */
type Derivative = (
  cotangent: Value,
  operands: readonly Value[],
  result: Value,
) => readonly (Value | null)[];

function scalarOp(name: ScalarFunction, derivative?: Derivative | null, result?: "bool"): Op {
  const gradient: GradientRule = (node, [cotangent], needed) =>
    derivative!(cotangent!, node.inputs, node.outputs[0]!).map((value, i) =>
      needed[i] === true ? value : null,
    );
  return makeOp({
    name,
    kind: "elementwise",
    infer: (inputs) => [
      { shape: broadcast(name, inputs), dtype: result ?? inputs[inputs.length - 1]!.dtype },
    ],
    ...(derivative && { gradient }),
  });
}

/** A function of one element, computed in the type that `typeOf` names for that of the operand. */
function unary(
  name: UnaryFunction,
  typeOf: (dtype: DType) => DType,
  derivative?: Derivative,
): Unary {
  const op = scalarOp(name, derivative);
  return (x) => applyOne(op, [cast(x, typeOf(x.dtype))]);
}

/** A rounding function; integers are whole already. */
function rounding(name: UnaryFunction): Unary {
  const round = unary(name, arithmeticType, () => [null]);
  return (x) => (isFloat(x.dtype) ? round(x) : cast(x, arithmeticType(x.dtype)));
}

/** A function of two elements, computed in the type that `typeOf` names for those of the operands. */
function binary(
  name: BinaryFunction | ComparisonFunction,
  typeOf: (a: DType, b: DType) => DType,
  derivative?: Derivative | null,
  result?: "bool",
): Binary {
  const op = scalarOp(name, derivative, result);
  return (first, second) => {
    const a = valueOf(first, second);
    const b = valueOf(second, first);
    const dtype = typeOf(a.dtype, b.dtype);
    return applyOne(op, [cast(a, dtype), cast(b, dtype)]);
  };
}

function arithmetic(name: BinaryFunction, derivative?: Derivative): Binary {
  return binary(name, arithmeticType, derivative);
}

function bitwise(name: BinaryFunction): Binary {
  return binary(name, (a, b) => {
    const dtype = promote(a, b);
    check(
      !isFloat(dtype),
      "dtype",
      () => `${name}: both tensors must be bool or integer, got ${a} and ${b}. Cast them.`,
    );
    return dtype;
  });
}

function comparison(name: ComparisonFunction): Binary {
  return binary(name, promote, null, "bool");
}

function arithmeticType(a: DType, b: DType = a): DType {
  const dtype = promote(a, b);
  return dtype === "bool" ? "int32" : dtype;
}

const float = (): DType => "float32";

/** The operand as a value: a whole number takes the type of `other`, the operand that it meets. */
function valueOf(x: Operand, other: Operand): Value {
  if (typeof x !== "number") return x;
  const isFloating = typeof other === "number" || !Number.isInteger(x);
  return constant(x, isFloating ? "float32" : computeType(other.dtype));
}

const castOp = makeOp({
  name: "cast",
  kind: "elementwise",
  infer: ([x], { dtype }) => [{ shape: x!.shape, dtype: dtype as DType }],
  // Cotangents are float32, also those of float16 values: rounding passes them on as they are.
  gradient: (_, [g]) => [g!],
});

/** `x` with element type `dtype`; `x` itself if it has it already. */
export function cast(x: Value, dtype: DType): Value {
  return x.dtype === dtype ? x : applyOne(castOp, [x], { dtype });
}

export const negate: Unary = unary("negate", arithmeticType, (g) => [negate(g)]);
export const abs: Unary = unary("abs", arithmeticType, (g, [x]) => [multiply(g, sign(x!))]);
export const sign: Unary = unary("sign", arithmeticType, () => [null]);
export const floor: Unary = rounding("floor");
export const ceil: Unary = rounding("ceil");
export const round: Unary = rounding("round");
export const trunc: Unary = rounding("trunc");
export const sqrt: Unary = unary("sqrt", float, (g, _, y) => [divide(multiply(g, 0.5), y)]);
export const exp: Unary = unary("exp", float, (g, _, y) => [multiply(g, y)]);
export const expm1: Unary = unary("expm1", float, (g, _, y) => [multiply(g, add(y, 1))]);
export const log: Unary = unary("log", float, (g, [x]) => [divide(g, x!)]);
export const log1p: Unary = unary("log1p", float, (g, [x]) => [divide(g, add(x!, 1))]);
export const sin: Unary = unary("sin", float, (g, [x]) => [multiply(g, cos(x!))]);
export const cos: Unary = unary("cos", float, (g, [x]) => [negate(multiply(g, sin(x!)))]);
export const tanh: Unary = unary("tanh", float, (g, _, y) => [
  multiply(g, subtract(1, multiply(y, y))),
]);
export const sigmoid: Unary = unary("sigmoid", float, (g, _, y) => [
  multiply(g, multiply(y, subtract(1, y))),
]);
export const erf: Unary = unary("erf", float, (g, [x]) => [
  multiply(g, multiply(2 / Math.sqrt(Math.PI), exp(negate(multiply(x!, x!))))),
]);
export const not: Unary = unary("not", () => "bool");

export const add: Binary = arithmetic("add", (g) => [g, g]);
export const subtract: Binary = arithmetic("subtract", (g) => [g, negate(g)]);
export const multiply: Binary = arithmetic("multiply", (g, [a, b]) => [
  multiply(g, b!),
  multiply(g, a!),
]);
/** a / b truncated toward zero, for integers. */
export const integerDivide: Binary = arithmetic("divide", (g, [, b], y) => [
  divide(g, b!),
  negate(divide(multiply(g, y), b!)),
]);
/** a / b in floating point, as PyTorch's true division. */
export const divide: Binary = (a, b) => {
  const [x, y] = [a, b].map((x) => (typeof x === "number" ? constant(x) : cast(x, "float32")));
  return integerDivide(x!, y!);
};
export const remainder: Binary = arithmetic("remainder", (g, [a, b]) => [
  g,
  negate(multiply(g, floor(divide(a!, b!)))),
]);
/** a / b rounded toward −∞; integers stay integers. */
export function floorDivide(a: Value, b: Value): Value {
  return isFloat(promote(a.dtype, b.dtype))
    ? floor(divide(a, b))
    : integerDivide(subtract(a, remainder(a, b)), b);
}
export const power: Binary = binary("power", float, (g, [a, b], y) => [
  // 0 exponent: derivative 0 also where a^(b-1) is infinite.
  where(equal(b!, 0), 0, multiply(g, multiply(b!, power(a!, subtract(b!, 1))))),
  // 0 base: y log a is 0 · -∞; the limit is 0.
  where(equal(a!, 0), 0, multiply(g, multiply(y, log(a!)))),
]);
export const maximum: Binary = arithmetic(
  "maximum",
  extremeDerivative((a, b) => less(a, b)),
);
export const minimum: Binary = arithmetic(
  "minimum",
  extremeDerivative((a, b) => less(b, a)),
);

/** The cotangent goes to the operand that is not beaten, by halves at ties. */
function extremeDerivative(isBeaten: Binary): Derivative {
  return (g, [a, b]) => {
    const share = multiply(g, where(equal(a!, b!), 0.5, 1));
    return [where(isBeaten(a!, b!), 0, share), where(isBeaten(b!, a!), 0, share)];
  };
}

export const and: Binary = bitwise("and");
export const or: Binary = bitwise("or");
export const xor: Binary = bitwise("xor");
export const shiftLeft: Binary = arithmetic("shiftLeft");
export const shiftRight: Binary = arithmetic("shiftRight");

export const equal: Binary = comparison("equal");
export const notEqual: Binary = comparison("notEqual");
export const less: Binary = comparison("less");
export const lessEqual: Binary = comparison("lessEqual");

const threefryOps = [scalarOp("threefry0"), scalarOp("threefry1")] as const;

/** A word of the Threefry block of (key0, key1, counter0, counter1), all uint32. */
export function threefry(word: 0 | 1, operands: readonly [Value, Value, Value, Value]): Value {
  return applyOne(threefryOps[word], operands);
}

const whereOp = scalarOp("where", (g, [condition]) => [
  null,
  where(condition!, g, 0),
  where(condition!, 0, g),
]);

/** `a` where `condition` holds, else `b`. */
export function where(condition: Value, first: Operand, second: Operand): Value {
  const a = valueOf(first, second);
  const b = valueOf(second, first);
  const dtype = promote(a.dtype, b.dtype);
  return applyOne(whereOp, [cast(condition, "bool"), cast(a, dtype), cast(b, dtype)]);
}

// Composed functions.

export const square = (x: Value): Value => multiply(x, x);
export const reciprocal = (x: Value): Value => divide(1, x);
export const reciprocalSqrt = (x: Value): Value => divide(1, sqrt(x));
export const relu = (x: Value): Value => where(lessEqual(x, 0), 0, x);
export const silu = (x: Value): Value => multiply(x, sigmoid(x));

/** log(sigmoid(x)) = min(x, 0) − log(1 + e^(−|x|)). */
export const logSigmoid = (x: Value): Value => subtract(minimum(x, 0), log1p(exp(negate(abs(x)))));

/** x to a power that is better written otherwise, or `null` where it is not. */
export function constantPower(x: Value, exponent: number): Value | null {
  switch (exponent) {
    case 0:
      // Keeps the shape and the (zero) gradient of x.
      return where(constant(1, "bool"), 1, x);
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
    const distribution = add(erf(multiply(x, Math.SQRT1_2)), 1);
    return multiply(multiply(x, 0.5), distribution);
  }
  const cubic = multiply(0.044715, multiply(x, multiply(x, x)));
  const inner = multiply(Math.sqrt(2 / Math.PI), add(x, cubic));
  return multiply(multiply(x, 0.5), add(tanh(inner), 1));
}

/** log(1 + exp(βx)) / β, linear where βx > threshold. */
export function softplus(x: Value, beta: number, threshold: number): Value {
  const scaled = multiply(x, beta);
  const isLinear = less(threshold, scaled);
  // The unused branch must stay finite, or its derivative turns into NaN.
  const bounded = where(isLinear, 0, scaled);
  const value = add(maximum(bounded, 0), log1p(exp(negate(abs(bounded)))));
  return where(isLinear, x, divide(value, beta));
}

export function leakyRelu(x: Value, negativeSlope: Value): Value {
  return where(less(0, x), x, multiply(x, negativeSlope));
}

export function elu(x: Value, alpha: Value): Value {
  const isPositive = less(0, x);
  return where(isPositive, x, multiply(alpha, expm1(where(isPositive, 0, x))));
}

/** `x` limited to [minimum, maximum]; the cotangent passes at the bounds. */
export function clamp(x: Value, low: Value | null, high: Value | null): Value {
  let result = x;
  if (low !== null) result = where(less(x, low), low, result);
  if (high !== null) result = where(less(high, x), high, result);
  return result;
}
