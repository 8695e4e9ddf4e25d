/** Softmax and its logarithm. */

import { applyOne, makeOp, type Attributes, type Value } from "../graph/node.js";
import { cast, divide, exp, log, multiply, subtract } from "./elementwise.js";
import { spread, max, sum } from "./reduce.js";

/** A reduction over `axis`, spread over it again. */
function along(
  x: Value,
  attributes: Attributes,
  reduce: (x: Value, axes: readonly number[]) => Value,
): Value {
  const axes = [attributes.axis as number];
  return spread(reduce(x, axes), x.shape, axes);
}

const softmaxOp = makeOp({
  name: "softmax",
  kind: "primitive",
  infer: ([x]) => [{ shape: x!.shape, dtype: "float32" }],
  compose: ([x], attributes) => {
    const powers = exp(subtract(x!, along(x!, attributes, max)));
    return [divide(powers, along(powers, attributes, sum))];
  },
  gradient: (node, [g]) => [applyOne(softmaxBackwardOp, [node.outputs[0]!, g!], node.attributes)],
});

/** Inputs y = softmax(x) and the cotangent g: y (g − Σ g y). */
const softmaxBackwardOp = makeOp({
  name: "softmaxBackward",
  kind: "primitive",
  infer: ([y]) => [{ shape: y!.shape, dtype: "float32" }],
  compose: ([y, g], attributes) => {
    const weighted = multiply(g!, y!);
    return [subtract(weighted, multiply(y!, along(weighted, attributes, sum)))];
  },
});

const logSoftmaxOp = makeOp({
  name: "logSoftmax",
  kind: "primitive",
  infer: ([x]) => [{ shape: x!.shape, dtype: "float32" }],
  compose: ([x], attributes) => {
    const shifted = subtract(x!, along(x!, attributes, max));
    return [subtract(shifted, log(along(exp(shifted), attributes, sum)))];
  },
  gradient: (node, [g]) => [
    applyOne(logSoftmaxBackwardOp, [node.outputs[0]!, g!], node.attributes),
  ],
});

/** Inputs y = log softmax(x) and the cotangent g: g − eʸ Σ g. */
const logSoftmaxBackwardOp = makeOp({
  name: "logSoftmaxBackward",
  kind: "primitive",
  infer: ([y]) => [{ shape: y!.shape, dtype: "float32" }],
  compose: ([y, g], attributes) => [subtract(g!, multiply(exp(y!), along(g!, attributes, sum)))],
});

/** eˣ / Σ eˣ along `axis`, without overflow. */
export function softmax(x: Value, axis: number): Value {
  return x.shape.includes(0)
    ? cast(x, "float32")
    : applyOne(softmaxOp, [cast(x, "float32")], { axis });
}

/** x − log Σ eˣ along `axis`, without overflow. */
export function logSoftmax(x: Value, axis: number): Value {
  return x.shape.includes(0)
    ? cast(x, "float32")
    : applyOne(logSoftmaxOp, [cast(x, "float32")], { axis });
}
