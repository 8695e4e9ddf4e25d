/** Reductions: elements joined along axes. */

import { check } from "../error.js";
import type { Reducer } from "../graph/scalar-function.js";
import { applyOne, makeOp, type GradientRule, type Op, type Value } from "../graph/node.js";
import { computeType } from "../tensor/dtype.js";
import { sameShape, sizeOf, type Shape } from "../tensor/shape.js";
import {
  abs,
  add,
  cast,
  divide,
  equal,
  exp,
  log,
  multiply,
  notEqual,
  power,
  sqrt,
  square,
  subtract,
  where,
} from "./elementwise.js";
import { expand, flip, permute, reshape } from "./movement.js";
import { productBefore } from "./scan.js";

const list = (attribute: unknown): readonly number[] => attribute as readonly number[];

function reducedShape(shape: Shape, axes: readonly number[]): number[] {
  return shape.filter((_, i) => !axes.includes(i));
}

/** `shape` with 1 on the reduced axes. */
function keptShape(shape: Shape, axes: readonly number[]): number[] {
  return shape.map((n, i) => (axes.includes(i) ? 1 : n));
}

function reduceOp(reducer: Reducer, gradient?: GradientRule): Op {
  const isIndex = reducer === "argmax" || reducer === "argmin";
  return makeOp({
    name: reducer,
    kind: "reduce",
    infer: ([x], { axes }) => [
      {
        shape: reducedShape(x!.shape, list(axes)),
        dtype: isIndex ? "int32" : x!.dtype,
      },
    ],
    ...(gradient && { gradient }),
  });
}

/** One number for each place of the reduced axes, spread over them: back to `shape`. */
export function spread(value: Value, shape: Shape, axes: readonly number[]): Value {
  return expand(reshape(value, keptShape(shape, axes)), shape);
}

/** The cotangent goes to the extreme elements, in equal parts at ties (as PyTorch's amax). */
const extremeGradient: GradientRule = (node, [g]) => {
  const x = node.inputs[0]!;
  const axes = list(node.attributes.axes);
  const isExtreme = cast(equal(x, spread(node.outputs[0]!, x.shape, axes)), "float32");
  const count = sum(isExtreme, axes);
  return [multiply(isExtreme, spread(divide(g!, count), x.shape, axes))];
};

const sumOp = reduceOp("sum", (node, [g]) => [
  spread(g!, node.inputs[0]!.shape, list(node.attributes.axes)),
]);

/** The derivative of a product is the product of the others: of those before and those after. */
const productOp = reduceOp("product", (node, [g]) => {
  const x = node.inputs[0]!;
  const axes = list(node.attributes.axes);
  const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const order = [...kept, ...axes];
  const sorted = permute(x, order);
  const size = sizeOf(axes.map((axis) => x.shape[axis]!));
  const last = kept.length;
  const rows = reshape(sorted, [...sorted.shape.slice(0, last), size]);
  const after = flip(productBefore(flip(rows, [last]), last), [last]);
  const others = multiply(productBefore(rows, last), after);
  const back = order.map((_, i) => order.indexOf(i));
  const own = permute(reshape(others, sorted.shape), back);
  return [multiply(own, spread(g!, x.shape, axes))];
});

const maxOp = reduceOp("max", extremeGradient);
const minOp = reduceOp("min", extremeGradient);
const argmaxOp = reduceOp("argmax");
const argminOp = reduceOp("argmin");

function reduce(op: Op, x: Value, axes: readonly number[]): Value {
  return applyOne(op, [x], { axes });
}

/** Sum over `axes` (removed). bool and small integers are summed as int32. */
export function sum(x: Value, axes: readonly number[]): Value {
  const dtype = x.dtype === "bool" ? "int32" : computeType(x.dtype);
  return axes.length === 0 ? cast(x, dtype) : reduce(sumOp, cast(x, dtype), axes);
}

/** Product over `axes`. */
export function product(x: Value, axes: readonly number[]): Value {
  const dtype = x.dtype === "bool" ? "int32" : computeType(x.dtype);
  return axes.length === 0 ? cast(x, dtype) : reduce(productOp, cast(x, dtype), axes);
}

function extreme(op: Op, x: Value, axes: readonly number[]): Value {
  check(
    axes.every((axis) => x.shape[axis] !== 0),
    "shape",
    () => `${op.name}: the reduced axes must not be empty, got size 0. Check the input's shape.`,
  );
  const value = cast(x, computeType(x.dtype));
  return axes.length === 0 && op !== argmaxOp && op !== argminOp ? value : reduce(op, value, axes);
}

/** Largest element over `axes`; NaN wins. */
export const max = (x: Value, axes: readonly number[]): Value => extreme(maxOp, x, axes);
/** Smallest element over `axes`; NaN wins. */
export const min = (x: Value, axes: readonly number[]): Value => extreme(minOp, x, axes);
/** Position of the largest element over `axes`, counted over them in row-major order. */
export const argmax = (x: Value, axes: readonly number[]): Value => extreme(argmaxOp, x, axes);
/** Position of the smallest element over `axes`. */
export const argmin = (x: Value, axes: readonly number[]): Value => extreme(argminOp, x, axes);

/** The sum of a broadcast result back to `shape`: what un-broadcasting means for cotangents. */
export function sumTo(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  const axes: number[] = [];
  x.shape.forEach((n, i) => {
    if (i < lead || (shape[i - lead] === 1 && n !== 1)) axes.push(i);
  });
  return reshape(sum(x, axes), shape);
}

/** Keeps the reduced axes as size 1 if asked to. */
export function keep(x: Value, shape: Shape, axes: readonly number[], keepdim: boolean): Value {
  return keepdim ? reshape(x, keptShape(shape, axes)) : x;
}

function countOver(x: Value, axes: readonly number[]): number {
  return sizeOf(axes.map((axis) => x.shape[axis]!));
}

/** Mean over `axes`. */
export function mean(x: Value, axes: readonly number[]): Value {
  return multiply(sum(cast(x, "float32"), axes), 1 / countOver(x, axes));
}

/** Variance over `axes`, divided by n − correction, from centred values. */
export function variance(x: Value, axes: readonly number[], correction: number): Value {
  const centred = subtract(x, spread(mean(x, axes), x.shape, axes));
  const degrees = Math.max(countOver(x, axes) - correction, 0);
  return multiply(sum(square(centred), axes), 1 / degrees);
}

/** Standard deviation over `axes`. */
export function standardDeviation(x: Value, axes: readonly number[], correction: number): Value {
  return rootOfSquares(variance(x, axes, correction));
}

/** log Σ exp x over `axes`, without overflow. */
export function logSumExp(x: Value, axes: readonly number[]): Value {
  return applyOne(logSumExpOp, [cast(x, "float32")], { axes });
}

const logSumExpOp = makeOp({
  name: "logSumExp",
  kind: "primitive",
  infer: ([x], { axes }) => [{ shape: reducedShape(x!.shape, list(axes)), dtype: "float32" }],
  compose: ([x], attributes) => {
    const axes = list(attributes.axes);
    const largest = max(x!, axes);
    // An infinite maximum would give ∞ − ∞; then the maximum is the answer by itself.
    const isFinite = equal(subtract(largest, largest), 0);
    const shift = where(isFinite, largest, 0);
    const shifted = exp(subtract(x!, spread(shift, x!.shape, axes)));
    return [add(log(sum(shifted, axes)), shift)];
  },
  gradient: (node, [g]) => {
    const x = node.inputs[0]!;
    const axes = list(node.attributes.axes);
    const y = node.outputs[0]!;
    // A row of −∞ has no weights rather than undefined ones.
    const shift = where(equal(y, -Infinity), 0, y);
    const softmax = exp(subtract(x, spread(shift, x.shape, axes)));
    return [multiply(spread(g!, x.shape, axes), softmax)];
  },
});

/** √x for a sum of squares: where it is 0 so is the derivative, not infinite. */
function rootOfSquares(x: Value): Value {
  const isZero = equal(x, 0);
  return where(isZero, 0, sqrt(where(isZero, 1, x)));
}

/** Euclidean length over `axes`. */
function euclideanNorm(x: Value, axes: readonly number[]): Value {
  return rootOfSquares(sum(square(cast(x, "float32")), axes));
}

/** (Σ |x|^p)^(1/p) over `axes`; p = ∞ and −∞ give the extremes of |x|, p = 0 counts non-zeros. */
export function vectorNorm(x: Value, p: number, axes: readonly number[]): Value {
  const values = cast(x, "float32");
  switch (p) {
    case 2:
      return euclideanNorm(values, axes);
    case 1:
      return sum(abs(values), axes);
    case 0:
      return sum(cast(notEqual(values, 0), "float32"), axes);
    case Infinity:
      return max(abs(values), axes);
    case -Infinity:
      return min(abs(values), axes);
    default: {
      const total = sum(power(abs(values), p), axes);
      // As for p = 2: the derivative at 0 is 0.
      const isZero = equal(total, 0);
      const root = power(where(isZero, 1, total), 1 / p);
      return where(isZero, p > 0 ? 0 : Infinity, root);
    }
  }
}
