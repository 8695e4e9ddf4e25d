/** Scans: every element joined with all before it along an axis. */

import {
  apply,
  applyOne,
  isGradientEnabled,
  makeOp,
  type GradientRule,
  type Op,
  type Value,
} from "../graph/node.js";
import { computeType } from "../tensor/dtype.js";
import {
  and,
  cast,
  divide,
  equal,
  less,
  lessEqual,
  multiply,
  where,
  zeroOf,
} from "./elementwise.js";
import { scatterAdd } from "./indexing.js";
import { concatenate } from "./join.js";
import { constant, iota } from "./leaf.js";
import { expand, flip, full, narrow, reshape, transpose } from "./movement.js";

function scanOp(name: string, gradient: GradientRule): Op {
  return makeOp({
    name,
    kind: "kernel",
    infer: ([x]) => [x!],
    gradient,
  });
}

/** Each element with the sum of all from it to the end. */
function reverseSum(x: Value, axis: number): Value {
  return flip(cumulativeSum(flip(x, [axis]), axis), [axis]);
}

const cumulativeSumOp = scanOp("cumulativeSum", (node, [g]) => [
  reverseSum(g!, node.attributes.axis as number),
]);

/**
 * Before the first 0 of a row: Σ_{i≥j} g_i y_i / x_j. At the first 0, division will not do, but with
 * a 1 in its place the products are those of the other elements. After it, nothing has influence.
 */
const cumulativeProductOp = scanOp("cumulativeProduct", (node, [g]) => {
  const x = node.inputs[0]!;
  const y = node.outputs[0]!;
  const axis = node.attributes.axis as number;
  if (x.tracked && isGradientEnabled() && !x.shape.includes(0)) {
    const last = x.shape.length - 1;
    const toLast = (value: Value): Value => transpose(value, axis, last);
    return [toLast(productGradient(toLast(x), toLast(g!)))];
  }
  const isZero = equal(x, zeroOf(x));
  const zeros = cumulativeSum(cast(isZero, "int32"), axis);
  const isFirstZero = and(isZero, equal(zeros, 1));
  const withoutFirst = where(isFirstZero, 1, x);
  const atZero = reverseSum(multiply(g!, cumulativeProduct(withoutFirst, axis)), axis);
  const others = divide(reverseSum(multiply(g!, y), axis), where(isZero, 1, x));
  const isBefore = equal(zeros, 0);
  return [where(isFirstZero, atZero, where(isBefore, others, 0))];
});

/**
 * The same along the last axis without treating zeros apart, so that it has derivatives of its own
 * everywhere: Π_{i<j} x_i · Σ_{k≥j} g_k Π_{j<i≤k} x_i, with n² products for n elements.
 */
function productGradient(x: Value, g: Value): Value {
  const last = x.shape.length - 1;
  const n = x.shape[last]!;
  const spread = (value: Value): Value =>
    expand(reshape(value, value.shape.toSpliced(last, 0, 1)), [...value.shape, n]);
  const place = iota(n);
  const column = reshape(place, [n, 1]);
  const between = cumulativeProduct(where(less(column, place), spread(x), 1), last + 1);
  const weighted = where(lessEqual(column, place), multiply(between, spread(g)), 0);
  // The sum is the last of the running sums.
  const total = narrow(cumulativeSum(weighted, last + 1), last + 1, n - 1, 1);
  return multiply(productBefore(x, last), reshape(total, x.shape));
}

/** The product of all elements before each one. */
export function productBefore(x: Value, axis: number): Value {
  const one = full(x.shape.with(axis, 1), 1, "float32");
  return cumulativeProduct(narrow(concatenate([one, x], axis), axis, 0, x.shape[axis]!), axis);
}

function extremeScanOp(name: string): Op {
  return makeOp({
    name,
    kind: "kernel",
    infer: ([x]) => [
      { shape: x!.shape, dtype: x!.dtype },
      { shape: x!.shape, dtype: "int32" },
    ],
    // The cotangent goes to the element that was the extreme.
    gradient: (node, [g]) => {
      if (!g) return [null];
      const zeros = full(node.inputs[0]!.shape, 0, "float32");
      return [scatterAdd(zeros, node.attributes.axis as number, node.outputs[1]!, g)];
    },
  });
}

const cumulativeMaxOp = extremeScanOp("cumulativeMax");
const cumulativeMinOp = extremeScanOp("cumulativeMin");

/** `x` in a type that scans work on: integers and bool as int32 or uint32, floats as float32. */
function widened(x: Value): Value {
  return cast(x, x.dtype === "bool" ? "int32" : computeType(x.dtype));
}

/** Running sum along `axis`. */
export function cumulativeSum(x: Value, axis: number): Value {
  return x.shape.length === 0 ? widened(x) : applyOne(cumulativeSumOp, [widened(x)], { axis });
}

/** Running product along `axis`. */
export function cumulativeProduct(x: Value, axis: number): Value {
  return x.shape.length === 0 ? widened(x) : applyOne(cumulativeProductOp, [widened(x)], { axis });
}

function extremes(op: Op, x: Value, axis: number): readonly [Value, Value] {
  if (x.shape.length === 0) return [widened(x), constant(0, "int32")];
  const [values, indices] = apply(op, [widened(x)], { axis });
  return [values!, indices!];
}

/** Running maximum along `axis` and where it was found, the last place at ties; NaN wins. */
export function cumulativeMax(x: Value, axis: number): readonly [Value, Value] {
  return extremes(cumulativeMaxOp, x, axis);
}

/** Running minimum along `axis` and where it was found, the last place at ties; NaN wins. */
export function cumulativeMin(x: Value, axis: number): readonly [Value, Value] {
  return extremes(cumulativeMinOp, x, axis);
}
