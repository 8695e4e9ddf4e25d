import type { Value } from "../../src/graph/node.js";
import { scaledDotProductAttention, type AttentionOptions } from "../../src/ops/attention.js";
import { convolution } from "../../src/ops/convolution.js";
import { crossEntropy } from "../../src/ops/cross-entropy.js";
import { featureAttention } from "../../src/ops/feature-attention.js";
import {
  cumulativeLinearAttention,
  type LinearAttentionOptions,
} from "../../src/ops/linear-attention.js";
import { layerNorm, rmsNorm } from "../../src/ops/normalization.js";
import { product } from "../../src/ops/reduce.js";
import { drawScalars } from "../../src/ops/random.js";
import {
  cumulativeMax,
  cumulativeMin,
  cumulativeProduct,
  cumulativeSum,
} from "../../src/ops/scan.js";
import { logSoftmax, softmax } from "../../src/ops/softmax.js";
import { sort, topk } from "../../src/ops/sort.js";
import { reference } from "../../src/reference/device.js";
import { fromData } from "../../src/tensor/creation.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { awayFromZero, distinct, indices, uniform, type GradientCase } from "./case.js";

const onReference = { device: reference() };
const withZeros = fromData(
  Float32Array.of(1.5, 0, 2, -1, 2, 3, 0.5, 0, 0, 2, 0, -1),
  [3, 4],
  onReference,
);

function lifted(
  name: string,
  f: (...inputs: Value[]) => Value | readonly Value[],
  ...inputs: Tensor[]
): GradientCase {
  return {
    name,
    f: (...tensors) => {
      const results = f(...tensors.map(({ value }) => value));
      const list = "shape" in results ? [results] : results;
      return list.map((value) => new Tensor(value).sin());
    },
    inputs,
  };
}

/** Scans and sorting. */
export const orderedCases: readonly GradientCase[] = [
  lifted("cumulativeSum", (x) => cumulativeSum(x, 1), uniform([2, 5, 2])),
  lifted("cumulativeProduct", (x) => cumulativeProduct(x, 0), awayFromZero([4, 2])),
  lifted("cumulativeProduct with zeros", (x) => cumulativeProduct(x, 1), withZeros),
  lifted("product with zeros", (x) => product(x, [1]), withZeros),
  lifted("cumulativeMax", (x) => cumulativeMax(x, 1), distinct([2, 6])),
  lifted("cumulativeMin", (x) => cumulativeMin(x, 0), distinct([6, 2])),
  lifted("sort", (x) => sort(x, 1, true), distinct([2, 5, 2])),
  lifted("topk", (x) => topk(x, 3, 1, false), distinct([2, 5])),
];

/** Softmax, normalization, convolution, losses. */
export const layerCases: readonly GradientCase[] = [
  lifted("softmax", (x) => softmax(x, 1), uniform([2, 3, 2])),
  lifted("logSoftmax", (x) => logSoftmax(x, 0), uniform([3, 2])),
  lifted(
    "layerNorm",
    (x, weight, bias) => layerNorm(x, 1, weight, bias, 1e-5),
    uniform([2, 3, 4]),
    uniform([4]),
    uniform([4]),
  ),
  lifted(
    "layerNorm over two axes, without bias",
    (x, weight) => layerNorm(x, 2, weight, null, 1e-3),
    uniform([3, 2, 3]),
    uniform([2, 3]),
  ),
  lifted("layerNorm, plain", (x) => layerNorm(x, 1, null, null, 1e-5), uniform([2, 5])),
  lifted("rmsNorm", (x, weight) => rmsNorm(x, 1, weight, 1e-6), uniform([2, 3, 4]), uniform([4])),
  lifted("rmsNorm, plain", (x) => rmsNorm(x, 1, null, 1e-6), uniform([2, 4])),
  lifted(
    "convolution, strided and padded",
    (x, weight) =>
      convolution("conv1d", x, weight, { stride: [2], padding: [1], dilation: [1], groups: 1 }),
    uniform([2, 3, 6]),
    uniform([2, 3, 3]),
  ),
  lifted(
    "convolution, grouped and dilated",
    (x, weight) =>
      convolution("conv2d", x, weight, {
        stride: [1, 2],
        padding: [0, 1],
        dilation: [2, 1],
        groups: 2,
      }),
    uniform([1, 4, 5, 4]),
    uniform([2, 2, 2, 3]),
  ),
  lifted(
    "convolution, depthwise",
    (x, weight) =>
      convolution("conv1d", x, weight, { stride: [1], padding: [1], dilation: [1], groups: 3 }),
    uniform([2, 3, 5]),
    uniform([3, 1, 3]),
  ),
  lifted(
    "crossEntropy",
    (logits, target) =>
      crossEntropy(logits, target, { weight: null, ignoreIndex: 1, labelSmoothing: 0 }),
    uniform([4, 3]),
    indices([4], 3),
  ),
  lifted(
    "crossEntropy, smoothed",
    (logits, target) =>
      crossEntropy(logits, target, { weight: null, ignoreIndex: -100, labelSmoothing: 0.2 }),
    uniform([4, 3]),
    indices([4], 3),
  ),
];

function linearAttention(
  name: string,
  options: LinearAttentionOptions,
  sizes: { queries: number; keys: number },
): GradientCase {
  return lifted(
    `cumulativeLinearAttention, ${name}`,
    (q, k, v, state) => {
      const given = state === undefined ? options : { ...options, state };
      const { output, state: final } = cumulativeLinearAttention(q, k, v, given);
      return [output, final];
    },
    uniform([1, 4, sizes.queries, 2]),
    uniform([1, 2, sizes.keys, 2]),
    uniform([1, 2, sizes.keys, 3]),
  );
}

const withState = linearAttention("with a state", { causal: true }, { queries: 3, keys: 3 });

function softmaxAttention(
  name: string,
  options: Partial<AttentionOptions>,
  guide: Tensor | null = null,
): GradientCase {
  const draw = options.dropout === undefined ? null : drawScalars(someDraw);
  const all = { causal: false, window: null, scale: 0.7, dropout: 0, ...options };
  return lifted(
    `scaledDotProductAttention, ${name}`,
    (q, k, v, own) => scaledDotProductAttention(q, k, v, own ?? null, draw, all),
    uniform([1, 4, 3, 2]),
    uniform([1, 2, 5, 2]),
    uniform([1, 2, 5, 3]),
    ...(guide ? [guide] : []),
  );
}

const someDraw = { key0: 1, key1: 2, counter: 3 };

/** A mask that hides every key from one query. */
const someMask = fromData(
  Uint8Array.of(1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1),
  [1, 1, 3, 5],
  { dtype: "bool", ...onReference },
);

const noOptions = { projection: null, mask: null, keyMask: null, state: null };

/** Attention. */
export const attentionCases: readonly GradientCase[] = [
  softmaxAttention("plain", {}),
  softmaxAttention("causal", { causal: true }),
  softmaxAttention("with a window", { window: [1, 1] }),
  softmaxAttention("with a mask", {}, someMask),
  softmaxAttention("with a bias", {}, uniform([4, 3, 5])),
  softmaxAttention("with dropout", { dropout: 0.4 }),
  linearAttention("full", { scale: 0.5 }, { queries: 2, keys: 3 }),
  linearAttention("causal", { causal: true, scale: 0.5 }, { queries: 3, keys: 5 }),
  linearAttention(
    "with a mask",
    { mask: fromData(Int32Array.of(3, 0, -1), [3], onReference).value },
    { queries: 3, keys: 4 },
  ),
  { ...withState, inputs: [...withState.inputs, uniform([1, 2, 2, 3])] },
  lifted(
    "featureAttention, exponential",
    (q, k, v) => featureAttention({ q, k, v, ...noOptions }, "causal", 1, 0)[0]!,
    ...[uniform([1, 2, 3, 2]), uniform([1, 1, 3, 2]), uniform([1, 1, 3, 2])],
  ),
  lifted(
    "featureAttention, random",
    (q, k, v, projection) =>
      featureAttention({ q, k, v, ...noOptions, projection }, "full", 0.7, 0)[0]!,
    ...[uniform([1, 1, 2, 2]), uniform([1, 1, 3, 2]), uniform([1, 1, 3, 2]), uniform([3, 2])],
  ),
];
