/** Layer norm and RMS norm over trailing axes. */

import { check } from "../error.js";
import {
  apply,
  makeOp,
  type Attributes,
  type GradientRule,
  type Spec,
  type Value,
} from "../graph/node.js";
import { formatShape, sameShape, sizeOf, type Shape } from "../tensor/shape.js";
import { add, cast, multiply, reciprocalSqrt, square, subtract } from "./elementwise.js";
import { expand, reshape } from "./movement.js";
import { keptShape, mean, sum } from "./reduce.js";

/** The normalised axes of a tensor of rank `rank`: the last `axes` ones. */
function trailing(rank: number, attributes: Attributes): number[] {
  const count = attributes.axes as number;
  return Array.from({ length: count }, (_, i) => rank - count + i);
}

function leading(rank: number, attributes: Attributes): number[] {
  return Array.from({ length: rank - (attributes.axes as number) }, (_, i) => i);
}

/** One statistic a row, spread over the row. */
function spread(statistic: Value, shape: Shape, axes: readonly number[]): Value {
  return expand(reshape(statistic, keptShape(shape, axes)), shape);
}

function rowSpecs(x: Spec, attributes: Attributes): { row: Spec; statistic: Spec } {
  const split = x.shape.length - (attributes.axes as number);
  return {
    row: { shape: x.shape.slice(split), dtype: "float32" },
    statistic: { shape: x.shape.slice(0, split), dtype: "float32" },
  };
}

/**
 * Inputs x, weight?, bias?; outputs y = (x − mean) · rstd · weight + bias, mean and
 * rstd = 1 / √(variance + eps), the variance from centred values.
 *
 * Attributes: `axes` (how many trailing axes), `eps`, `hasWeight`, `hasBias`.
 */
const layerNormOp = makeOp({
  name: "layerNorm",
  kind: "primitive",
  infer: ([x], attributes) => {
    const { statistic } = rowSpecs(x!, attributes);
    return [{ shape: x!.shape, dtype: "float32" }, statistic, statistic];
  },
  compose: ([x, ...affine], attributes) => {
    const { shape } = x!;
    const axes = trailing(shape.length, attributes);
    const average = mean(x!, axes);
    const centred = subtract(x!, spread(average, shape, axes));
    const variance = mean(square(centred), axes);
    const rstd = reciprocalSqrt(add(variance, attributes.eps as number));
    let y = multiply(centred, spread(rstd, shape, axes));
    let next = 0;
    if (attributes.hasWeight === true) y = multiply(y, affine[next++]!);
    if (attributes.hasBias === true) y = add(y, affine[next]!);
    return [y, average, rstd];
  },
  gradient: (node, [g, gMean, gRstd], needed) => {
    const { attributes } = node;
    const [x] = node.inputs as [Value];
    const [, average, rstd] = node.outputs as [Value, Value, Value];
    const hasWeight = attributes.hasWeight === true;
    const weights = hasWeight ? [node.inputs[1]!] : [];
    const biasPosition = hasWeight ? 2 : 1;
    const hasBias = attributes.hasBias === true && needed[biasPosition] === true;
    let dx: Value | null = null;
    let others: readonly Value[] = [];
    if (g) {
      const own = { axes: attributes.axes!, hasWeight, hasBias };
      [dx, ...others] = apply(layerNormBackwardOp, [x, ...weights, average, rstd, g], own) as [
        Value,
        ...Value[],
      ];
    }
    // Nobody sees mean and rstd but the backward pass: these appear in second derivatives only.
    const axes = trailing(x.shape.length, attributes);
    const share = 1 / sizeOf(axes.map((axis) => x.shape[axis]!));
    if (gMean) dx = plus(dx, spread(multiply(gMean, share), x.shape, axes));
    if (gRstd) {
      const centred = subtract(x, spread(average, x.shape, axes));
      dx = plus(dx, rstdTerm(centred, rstd, multiply(gRstd, share), axes));
    }
    const cotangents: (Value | null)[] = [dx];
    if (hasWeight) cotangents.push(others[0] ?? null);
    if (attributes.hasBias === true) {
      cotangents.push(hasBias ? (others[hasWeight ? 1 : 0] ?? null) : null);
    }
    return cotangents;
  },
});

function plus(a: Value | null, b: Value): Value {
  return a === null ? b : add(a, b);
}

/** ∂rstd/∂x = −rstd³ (x − mean) / n, times the cotangent already divided by n. */
function rstdTerm(centred: Value, rstd: Value, share: Value, axes: readonly number[]): Value {
  const factor = multiply(share, multiply(rstd, square(rstd)));
  return multiply(centred, spread(multiply(factor, -1), centred.shape, axes));
}

/**
 * Inputs x, weight?, mean, rstd and the cotangent g of y; outputs dx, dweight?, dbias?.
 *
 * Attributes: `axes`, `hasWeight`, `hasBias` (whether the bias' cotangent is wanted).
 */
const layerNormBackwardOp = makeOp({
  name: "layerNormBackward",
  kind: "primitive",
  infer: ([x], attributes) => {
    const { row } = rowSpecs(x!, attributes);
    return [
      { shape: x!.shape, dtype: "float32" },
      ...(attributes.hasWeight === true ? [row] : []),
      ...(attributes.hasBias === true ? [row] : []),
    ];
  },
  compose: (inputs, attributes) => {
    const [x, average, rstd, g, weight] = withoutWeight(inputs, attributes);
    const { shape } = x!;
    const axes = trailing(shape.length, attributes);
    const factor = spread(rstd!, shape, axes);
    const normal = multiply(subtract(x!, spread(average!, shape, axes)), factor);
    const inner = weight === undefined ? g! : multiply(g!, weight);
    const along = spread(mean(multiply(inner, normal), axes), shape, axes);
    const centred = subtract(inner, spread(mean(inner, axes), shape, axes));
    const dx = multiply(factor, subtract(centred, multiply(normal, along)));
    const rows = leading(shape.length, attributes);
    return [
      dx,
      ...(weight === undefined ? [] : [sum(multiply(g!, normal), rows)]),
      ...(attributes.hasBias === true ? [sum(g!, rows)] : []),
    ];
  },
});

/** The inputs of a backward operation, the weight (if any) moved to the end. */
function withoutWeight(inputs: readonly Value[], attributes: Attributes): readonly Value[] {
  if (attributes.hasWeight !== true) return inputs;
  const [x, weight, ...others] = inputs;
  return [x!, ...others, weight!];
}

const rmsNormGradient: GradientRule = (node, [g, gRstd]) => {
  const { attributes } = node;
  const [x, weight] = node.inputs as [Value, Value | undefined];
  const rstd = node.outputs[1]!;
  let dx: Value | null = null;
  let dWeight: Value | undefined;
  if (g) {
    const own = { axes: attributes.axes!, hasWeight: weight !== undefined };
    const inputs = weight === undefined ? [x, rstd, g] : [x, weight, rstd, g];
    [dx, dWeight] = apply(rmsNormBackwardOp, inputs, own) as [Value, Value | undefined];
  }
  if (gRstd) {
    const axes = trailing(x.shape.length, attributes);
    const share = 1 / sizeOf(axes.map((axis) => x.shape[axis]!));
    dx = plus(dx, rstdTerm(x, rstd, multiply(gRstd, share), axes));
  }
  return weight === undefined ? [dx] : [dx, dWeight ?? null];
};

/**
 * Inputs x, weight?; outputs y = x · rstd · weight and rstd = 1 / √(mean x² + eps).
 *
 * Attributes: `axes`, `eps`, `hasWeight`.
 */
const rmsNormOp = makeOp({
  name: "rmsNorm",
  kind: "primitive",
  infer: ([x], attributes) => [
    { shape: x!.shape, dtype: "float32" },
    rowSpecs(x!, attributes).statistic,
  ],
  compose: ([x, weight], attributes) => {
    const axes = trailing(x!.shape.length, attributes);
    const power = mean(square(x!), axes);
    const rstd = reciprocalSqrt(add(power, attributes.eps as number));
    const y = multiply(x!, spread(rstd, x!.shape, axes));
    return [weight === undefined ? y : multiply(y, weight), rstd];
  },
  gradient: rmsNormGradient,
});

/**
 * Inputs x, weight?, rstd and the cotangent g of y; outputs dx, dweight?.
 *
 * Attributes: `axes`, `hasWeight`.
 */
const rmsNormBackwardOp = makeOp({
  name: "rmsNormBackward",
  kind: "primitive",
  infer: ([x], attributes) => [
    { shape: x!.shape, dtype: "float32" },
    ...(attributes.hasWeight === true ? [rowSpecs(x!, attributes).row] : []),
  ],
  compose: (inputs, attributes) => {
    const [x, rstd, g, weight] = withoutWeight(inputs, attributes);
    const { shape } = x!;
    const axes = trailing(shape.length, attributes);
    const factor = spread(rstd!, shape, axes);
    const normal = multiply(x!, factor);
    const inner = weight === undefined ? g! : multiply(g!, weight);
    const along = spread(mean(multiply(inner, normal), axes), shape, axes);
    const dx = multiply(factor, subtract(inner, multiply(normal, along)));
    if (weight === undefined) return [dx];
    return [dx, sum(multiply(g!, normal), leading(shape.length, attributes))];
  },
});

function checkRow(op: string, name: string, x: Value, axes: number, given: Value | null): void {
  if (given === null) return;
  const expected = x.shape.slice(x.shape.length - axes);
  check(
    sameShape(given.shape, expected),
    "shape",
    () =>
      `${op}: the ${name} must have the shape of the normalised axes ${formatShape(expected)}, got ${formatShape(given.shape)}. Match it to the input ${formatShape(x.shape)}.`,
  );
}

/** Rows of the last `axes` axes with mean 0 and variance 1, then scaled and shifted. */
export function layerNorm(
  x: Value,
  axes: number,
  weight: Value | null,
  bias: Value | null,
  eps: number,
): Value {
  checkRow("layerNorm", "weight", x, axes, weight);
  checkRow("layerNorm", "bias", x, axes, bias);
  const inputs = [x, weight, bias].flatMap((value) =>
    value === null ? [] : [cast(value, "float32")],
  );
  const attributes = { axes, eps, hasWeight: weight !== null, hasBias: bias !== null };
  return apply(layerNormOp, inputs, attributes)[0]!;
}

/** Rows of the last `axes` axes with mean square 1, then scaled. */
export function rmsNorm(x: Value, axes: number, weight: Value | null, eps: number): Value {
  checkRow("rmsNorm", "weight", x, axes, weight);
  const inputs = [x, weight].flatMap((value) => (value === null ? [] : [cast(value, "float32")]));
  return apply(rmsNormOp, inputs, { axes, eps, hasWeight: weight !== null })[0]!;
}
