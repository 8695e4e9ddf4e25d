/** Layer norm and RMS norm over trailing axes. */

import { check } from "../error.js";
import { apply, makeOp, type Attributes, type Op, type Spec, type Value } from "../graph/node.js";
import { formatShape, sameShape, sizeOf } from "../tensor/shape.js";
import { add, cast, multiply, negate, reciprocalSqrt, square, subtract } from "./elementwise.js";
import { mean, spread, sum } from "./reduce.js";

/** The normalised axes of a tensor of rank `rank`: the last `axes` ones. */
function trailing(rank: number, attributes: Attributes): number[] {
  const count = attributes.axes as number;
  return Array.from({ length: count }, (_, i) => rank - count + i);
}

function leading(rank: number, attributes: Attributes): number[] {
  return Array.from({ length: rank - (attributes.axes as number) }, (_, i) => i);
}

function rowSpecs(x: Spec, attributes: Attributes): { row: Spec; statistic: Spec } {
  const split = x.shape.length - (attributes.axes as number);
  return {
    row: { shape: x.shape.slice(split), dtype: "float32" },
    statistic: { shape: x.shape.slice(0, split), dtype: "float32" },
  };
}

/**
 * Layer norm, or where it is not `centred` RMS norm: an operation and its gradient, which have
 * kernels of their own.
 *
 * Inputs x, weight?, bias?; outputs y = (x − mean) · rstd · weight + bias, mean (if centred) and
 * rstd = 1 / √(variance + eps), the variance from centred values. The gradient takes x, weight?,
 * mean?, rstd and the cotangent of y, and gives those of x, weight? and bias?.
 *
 * Attributes: `axes` (how many trailing axes), `eps`, `hasWeight`, `hasBias`.
 */
function makeNorm(name: string, centred: boolean): Op {
  const centre = (x: Value, average: Value | null, axes: readonly number[]): Value =>
    average === null ? x : subtract(x, spread(average, x.shape, axes));

  const backward = makeOp({
    name: `${name}Backward`,
    kind: "primitive",
    infer: ([x], attributes) => {
      const { row } = rowSpecs(x!, attributes);
      const affine = [attributes.hasWeight, attributes.hasBias].filter((has) => has === true);
      return [{ shape: x!.shape, dtype: "float32" }, ...affine.map(() => row)];
    },
    compose: ([x, ...others], attributes) => {
      const weight = attributes.hasWeight === true ? others.shift()! : null;
      const average = centred ? others.shift()! : null;
      const [rstd, g] = others as [Value, Value];
      const { shape } = x!;
      const axes = trailing(shape.length, attributes);
      const rows = leading(shape.length, attributes);
      const meanOf = (value: Value): Value => spread(mean(value, axes), shape, axes);
      const factor = spread(rstd, shape, axes);
      const normal = multiply(centre(x!, average, axes), factor);
      const inner = weight === null ? g : multiply(g, weight);
      const own = centred ? subtract(inner, meanOf(inner)) : inner;
      return [
        multiply(factor, subtract(own, multiply(normal, meanOf(multiply(inner, normal))))),
        ...(weight === null ? [] : [sum(multiply(g, normal), rows)]),
        ...(attributes.hasBias === true ? [sum(g, rows)] : []),
      ];
    },
  });

  return makeOp({
    name,
    kind: "primitive",
    infer: ([x], attributes) => {
      const { statistic } = rowSpecs(x!, attributes);
      const y: Spec = { shape: x!.shape, dtype: "float32" };
      return centred ? [y, statistic, statistic] : [y, statistic];
    },
    compose: ([x, ...affine], attributes) => {
      const { shape } = x!;
      const axes = trailing(shape.length, attributes);
      const average = centred ? mean(x!, axes) : null;
      const own = centre(x!, average, axes);
      const rstd = reciprocalSqrt(add(mean(square(own), axes), attributes.eps as number));
      let y = multiply(own, spread(rstd, shape, axes));
      if (attributes.hasWeight === true) y = multiply(y, affine.shift()!);
      if (attributes.hasBias === true) y = add(y, affine.shift()!);
      return average === null ? [y, rstd] : [y, average, rstd];
    },
    gradient: ({ attributes, inputs, outputs }, cotangents, needed) => {
      const [x, ...affine] = inputs as [Value, ...Value[]];
      const [, ...statistics] = outputs;
      const [g, ...others] = cotangents;
      const hasWeight = attributes.hasWeight === true;
      const hasBias = attributes.hasBias === true && needed[hasWeight ? 2 : 1] === true;
      const found: (Value | null)[] = [null];
      if (g) {
        const given = hasWeight ? [x, affine[0]!, ...statistics, g] : [x, ...statistics, g];
        const { axes } = attributes;
        found.splice(0, 1, ...apply(backward, given, { axes: axes!, hasWeight, hasBias }));
      }
      // The statistics are there for the gradient, and for those who differentiate that.
      const axes = trailing(x.shape.length, attributes);
      const share = 1 / sizeOf(axes.map((axis) => x.shape[axis]!));
      const toX = (term: Value): void => {
        found[0] = found[0] ? add(found[0], term) : term;
      };
      const gMean = centred ? others[0] : null;
      const gRstd = others.at(-1);
      if (gMean) toX(spread(multiply(gMean, share), x.shape, axes));
      if (gRstd) {
        const rstd = statistics.at(-1)!;
        const factor = multiply(multiply(gRstd, share), multiply(rstd, square(rstd)));
        const own = centre(x, centred ? statistics[0]! : null, axes);
        toX(multiply(own, spread(negate(factor), x.shape, axes)));
      }
      return [found[0]!, ...affine.map((_, i) => found[i + 1] ?? null)];
    },
  });
}

const layerNormOp = makeNorm("layerNorm", true);
const rmsNormOp = makeNorm("rmsNorm", false);

function norm(
  op: Op,
  x: Value,
  axes: number,
  weight: Value | null,
  bias: Value | null,
  eps: number,
): Value {
  const expected = x.shape.slice(x.shape.length - axes);
  const inputs = [cast(x, "float32")];
  for (const [name, given] of Object.entries({ weight, bias })) {
    if (given === null) continue;
    check(
      sameShape(given.shape, expected),
      "shape",
      () =>
        `${op.name}: the ${name} must have the shape of the normalised axes ${formatShape(expected)}, got ${formatShape(given.shape)}. Match it to the input ${formatShape(x.shape)}.`,
    );
    inputs.push(cast(given, "float32"));
  }
  const hasWeight = weight !== null;
  return apply(op, inputs, { axes, eps, hasWeight, hasBias: bias !== null })[0]!;
}

/** (x − mean) / √(variance + eps) over the last `axes` axes, then weight and bias. */
export function layerNorm(
  x: Value,
  axes: number,
  weight: Value | null,
  bias: Value | null,
  eps: number,
): Value {
  return norm(layerNormOp, x, axes, weight, bias, eps);
}

/** x / √(mean of squares + eps) over the last `axes` axes, then weight. */
export function rmsNorm(x: Value, axes: number, weight: Value | null, eps: number): Value {
  return norm(rmsNormOp, x, axes, weight, null, eps);
}
