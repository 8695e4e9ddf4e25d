/** Instructions of random programs that join numbers: reductions, products, scans, layers. */

import type { Value } from "../../src/graph/node.js";
import { scaledDotProductAttention } from "../../src/ops/attention.js";
import { convolution } from "../../src/ops/convolution.js";
import { crossEntropy } from "../../src/ops/cross-entropy.js";
import { cast } from "../../src/ops/elementwise.js";
import { cumulativeLinearAttention } from "../../src/ops/linear-attention.js";
import { einsum, matmul } from "../../src/ops/matmul.js";
import { narrow, reshape, transposeLast } from "../../src/ops/movement.js";
import { layerNorm, rmsNorm } from "../../src/ops/normalization.js";
import * as reduce from "../../src/ops/reduce.js";
import * as scan from "../../src/ops/scan.js";
import { logSoftmax, softmax } from "../../src/ops/softmax.js";
import { sort, topk } from "../../src/ops/sort.js";
import { sizeOf } from "../../src/tensor/shape.js";
import type { Instruction } from "./program.js";
import type { Picker } from "./picker.js";

const isFilled = (value: Value): boolean => sizeOf(value.shape) > 0;
const hasAxes = (value: Value): boolean => value.shape.length > 0 && isFilled(value);

type Reduction = (x: Value, axes: readonly number[]) => Value;

const reductions: readonly Reduction[] = [
  reduce.sum,
  reduce.sum,
  reduce.product,
  reduce.max,
  reduce.min,
  reduce.argmax,
  reduce.argmin,
];

const floatReductions: readonly Reduction[] = [
  reduce.mean,
  (x, axes) => reduce.variance(x, axes, 0),
  (x, axes) => reduce.standardDeviation(x, axes, 0),
  reduce.logSumExp,
  (x, axes) => reduce.vectorNorm(x, 2, axes),
  (x, axes) => reduce.vectorNorm(x, 1, axes),
];

function reduced(pick: Picker, x: Value, join: Reduction): Value {
  const axes = pick.axes(x);
  const result = join(x, axes);
  return pick.flip() ? reduce.keep(result, x.shape, axes, true) : result;
}

const scans: readonly ((x: Value, axis: number) => Value | readonly Value[])[] = [
  scan.cumulativeSum,
  scan.cumulativeProduct,
  scan.cumulativeMax,
  scan.cumulativeMin,
];

const equations = [
  "...ij,...kj->...ik",
  "...ij,...ij->...i",
  "...ij,...ik->...jk",
  "...ij,...ij->...ji",
];

/** `x` as [1, heads, length, size], where its last two axes allow it. */
function asHeads(x: Value, heads: number): Value {
  const [length, size] = x.shape.slice(-2) as [number, number];
  const rest = sizeOf(x.shape.slice(0, -2));
  const whole = reshape(cast(x, "float32"), [1, rest, length, size]);
  return narrow(whole, 1, 0, Math.min(heads, rest));
}

export const numericInstructions: Readonly<Record<string, Instruction>> = {
  reduce: (pick) => {
    const x = pick.value(isFilled);
    return x && reduced(pick, x, pick.one(reductions));
  },
  reduceFloat: (pick) => {
    const x = pick.filled();
    return x && reduced(pick, x, pick.one(floatReductions));
  },
  sumOfNothing: (pick) => {
    const x = pick.value((value) => !isFilled(value));
    return x && reduce.sum(x, pick.axes(x));
  },
  matmul: (pick) => {
    const x = pick.float(2);
    const y = x && pick.value((value) => fitsProduct(x, value));
    if (!x || sizeOf(x.shape) > 1024) return null;
    return matmul(x, y ?? transposeLast(x));
  },
  einsum: (pick) => {
    const x = pick.float(2);
    return x && sizeOf(x.shape) <= 1024 ? einsum(pick.one(equations), [x, x]) : null;
  },
  scan: (pick) => {
    const x = pick.value(hasAxes);
    return x && pick.one(scans)(x, pick.axis(x));
  },
  sort: (pick) => {
    const x = pick.value(hasAxes);
    return x && sort(x, pick.axis(x), pick.flip());
  },
  topk: (pick) => {
    const x = pick.value(hasAxes);
    if (x === null) return null;
    const axis = pick.axis(x);
    return topk(x, pick.between(1, x.shape[axis]!), axis, pick.flip());
  },
  softmax: (pick) => {
    const x = pick.filled(1);
    return x && (pick.flip() ? softmax : logSoftmax)(x, pick.axis(x));
  },
  layerNorm: (pick) => {
    const x = pick.filled(1);
    if (x === null) return null;
    const row = x.shape.at(-1)!;
    const weight = pick.value(
      (value) => value.dtype === "float32" && value.shape.join() === `${row}`,
    );
    const bias = pick.flip() ? weight : null;
    return pick.flip() ? layerNorm(x, 1, weight, bias, 1e-2) : rmsNorm(x, 1, weight, 1e-2);
  },
  crossEntropy: (pick) => {
    const x = pick.filled(1);
    if (x === null) return null;
    const classes = x.shape.at(-1)!;
    const target = pick.indices(x.shape.slice(0, -1), classes);
    const labelSmoothing = pick.below(3) / 10;
    return crossEntropy(x, target, { weight: null, ignoreIndex: pick.below(4), labelSmoothing });
  },
  convolution: (pick) => {
    const x = pick.value(
      (value) => value.dtype === "float32" && value.shape.length === 3 && isFilled(value),
    );
    if (x === null) return null;
    const [, channels, length] = x.shape as [number, number, number];
    const size = pick.between(1, Math.min(length, 3));
    const groups = pick.flip() ? channels : 1;
    const rows = narrow(narrow(x, 0, 0, 1), 2, 0, size);
    const weight = reshape(rows, groups === 1 ? [1, channels, size] : [channels, 1, size]);
    return convolution("conv1d", x, weight, {
      stride: [pick.between(1, 2)],
      padding: [pick.below(2)],
      dilation: [1],
      groups,
    });
  },
  attention: (pick) => {
    const x = pick.filled(2);
    if (x === null || sizeOf(x.shape) > 1024) return null;
    const q = asHeads(x, 2);
    const k = narrow(q, 2, 0, pick.between(1, q.shape[2]!));
    return scaledDotProductAttention(q, k, k, null, null, {
      causal: pick.flip(),
      window: pick.flip() ? [pick.below(4), pick.below(3)] : null,
      scale: 0.5,
      dropout: 0,
    });
  },
  linearAttention: (pick) => {
    const x = pick.filled(2);
    if (x === null || sizeOf(x.shape) > 1024) return null;
    const q = asHeads(x, 2);
    const { output, state } = cumulativeLinearAttention(q, q, q, {
      causal: pick.flip(),
      scale: 0.5,
    });
    return [output, state];
  },
};

function fitsProduct(x: Value, y: Value): boolean {
  return (
    y.dtype === "float32" &&
    y.shape.length === 2 &&
    y.shape[0] === x.shape.at(-1) &&
    sizeOf(y.shape) <= 1024
  );
}
