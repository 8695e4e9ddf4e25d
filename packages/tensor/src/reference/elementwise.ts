/** The scalar functions in float64, int32, uint32 and bool arithmetic. */

import type {
  BinaryFunction,
  ComparisonFunction,
  ScalarFunction,
  UnaryFunction,
} from "../graph/scalar-function.js";
import { isFloat, type DType } from "../tensor/dtype.js";
import { floatsFromHalfs, halfsFromFloats } from "../tensor/half.js";
import { stridesOf, type Shape } from "../tensor/shape.js";
import { readView, unknownOperation, type ReferenceArray } from "./array.js";
import { errorFunction } from "./error-function.js";
import { threefry } from "./threefry.js";

type Unary = (x: number) => number;
type Binary = (a: number, b: number) => number;

const unary: Record<UnaryFunction, Unary> = {
  negate: (x) => -x,
  abs: Math.abs,
  sign: Math.sign,
  floor: Math.floor,
  ceil: Math.ceil,
  round: roundHalfToEven,
  trunc: Math.trunc,
  sqrt: Math.sqrt,
  exp: Math.exp,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
  sigmoid: (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x))),
  erf: errorFunction,
  not: (x) => (x === 0 ? 1 : 0),
};

function roundHalfToEven(x: number): number {
  const isTie = x - Math.floor(x) === 0.5;
  return isTie ? 2 * Math.round(x / 2) : Math.round(x);
}

const floatBinary: Partial<Record<BinaryFunction, Binary>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  remainder: (a, b) => withSignOf(b, a % b),
  power,
  maximum: (a, b) => Math.max(a, b),
  minimum: (a, b) => Math.min(a, b),
};

// Sums and differences of two integers are exact in float64; `wrap` brings them into range.
const integerBinary: Partial<Record<BinaryFunction, Binary>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: Math.imul,
  divide: (a, b) => (b === 0 ? 0 : Math.trunc(a / b)),
  remainder: (a, b) => (b === 0 ? 0 : withSignOf(b, a % b)),
  maximum: (a, b) => Math.max(a, b),
  minimum: (a, b) => Math.min(a, b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shiftLeft: (a, b) => a << b,
  shiftRight: (a, b) => a >> b,
};

const unsignedBinary: Partial<Record<BinaryFunction, Binary>> = {
  ...integerBinary,
  shiftRight: (a, b) => a >>> b,
};

/** The remainder moved by one divisor where it has the other sign. */
function withSignOf(divisor: number, remainder: number): number {
  return remainder !== 0 && remainder < 0 !== divisor < 0 ? remainder + divisor : remainder;
}

/** Like C and WebAssembly, unlike JavaScript: 1 to any power is 1, −1 to an infinite power too. */
function power(a: number, b: number): number {
  if (a === 1 || (a === -1 && Math.abs(b) === Infinity)) return 1;
  return a ** b;
}

const comparison: Record<ComparisonFunction, Binary> = {
  equal: (a, b) => (a === b ? 1 : 0),
  notEqual: (a, b) => (a === b ? 0 : 1),
  less: (a, b) => (a < b ? 1 : 0),
  lessEqual: (a, b) => (a <= b ? 1 : 0),
};

/** `x` as a value of `dtype`: integers keep their low bits, floating-point numbers all of theirs. */
export function wrap(x: number, dtype: DType): number {
  switch (dtype) {
    case "int32":
      return x | 0;
    case "uint32":
      return x >>> 0;
    case "int8":
      return (x << 24) >> 24;
    case "bool":
      return x === 0 ? 0 : 1;
    default:
      return x;
  }
}

const ranges: Partial<Record<DType, readonly [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int8: [-128, 127],
};

/** The elements of `x` converted to `dtype`. */
function castElements(x: ReferenceArray, dtype: DType): Float64Array {
  if (dtype === "float32") return x.elements;
  if (dtype === "float16") {
    return Float64Array.from(floatsFromHalfs(halfsFromFloats(Float32Array.from(x.elements))));
  }
  if (dtype === "bool") return x.elements.map((e) => (e === 0 ? 0 : 1));
  if (!isFloat(x.dtype)) return x.elements.map((e) => wrap(e, dtype));
  const [low, high] = ranges[dtype]!;
  const saturate = (e: number): number =>
    Number.isNaN(e) ? 0 : Math.min(Math.max(Math.trunc(e), low), high) + 0;
  return x.elements.map(saturate);
}

/** The elements of `x` repeated along the axes it lacks or has with size 1. */
export function broadcastElements(x: ReferenceArray, shape: Shape): Float64Array {
  const lead = shape.length - x.shape.length;
  const dense = stridesOf(x.shape);
  const strides = shape.map((_, d) => (d < lead || x.shape[d - lead] === 1 ? 0 : dense[d - lead]!));
  return readView(x.elements, shape, 0, strides);
}

/** Applies a scalar function to every element; `result` says what shape and type come out. */
export function computeElementwise(
  name: string,
  inputs: readonly ReferenceArray[],
  result: { readonly shape: Shape; readonly dtype: DType },
): Float64Array {
  const { shape, dtype } = result;
  if (name === "cast") return castElements(inputs[0]!, dtype);
  const operands = inputs.map((input) => broadcastElements(input, shape));
  const compute = scalarFunction(name as ScalarFunction, inputs.at(-1)!.dtype);
  const [a, b, c, d] = operands;
  return a!.map((x, i) => wrap(compute(x, b?.[i] ?? 0, c?.[i] ?? 0, d?.[i] ?? 0), dtype));
}

function scalarFunction(
  name: ScalarFunction,
  dtype: DType,
): (a: number, b: number, c: number, d: number) => number {
  if (name === "where") return (condition, a, b) => (condition === 0 ? b : a);
  if (name === "threefry0") return (k0, k1, c0, c1) => threefry(k0, k1, c0, c1)[0];
  if (name === "threefry1") return (k0, k1, c0, c1) => threefry(k0, k1, c0, c1)[1];
  const binary = isFloat(dtype) ? floatBinary : dtype === "uint32" ? unsignedBinary : integerBinary;
  const found =
    (unary as Partial<Record<string, Unary>>)[name] ??
    (binary as Partial<Record<string, Binary>>)[name] ??
    (comparison as Partial<Record<string, Binary>>)[name];
  if (found === undefined) throw unknownOperation(name);
  return found;
}
