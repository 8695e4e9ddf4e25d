import { beforeAll, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { manualSeed } from "../random/generator.js";
import { reference } from "../reference/device.js";
import { codeOf, expectClose } from "../testing/index.js";
import { arange, ones, tensor, zeros } from "./creation.js";
import {
  batchNorm,
  conv1d,
  conv2d,
  dropout,
  embedding,
  embeddingBag,
  layerNorm,
  linear,
  normalize,
  rmsNorm,
} from "./functional.js";

beforeAll(() => {
  setDevice(reference());
});

test("convolutions: strides, padding, dilation, without a batch", async () => {
  const x = tensor([[1, 2, 3, 4, 5]]);
  const weight = tensor([[[1, 10]]]);
  expect(await conv1d(x, weight).toArray()).toEqual([[21, 32, 43, 54]]);
  expect(await conv1d(x, weight, { stride: 2 }).toArray()).toEqual([[21, 43]]);
  expect(await conv1d(x, weight, { dilation: 3 }).toArray()).toEqual([[41, 52]]);
  expect(await conv1d(x, weight, { padding: 1 }).toArray()).toEqual([[10, 21, 32, 43, 54, 5]]);
  expect(await conv1d(x, weight, { padding: "same" }).toArray()).toEqual([[21, 32, 43, 54, 5]]);
  const bias = tensor([100]);
  expect(await conv1d(x, weight, { bias, padding: "valid" }).toArray()).toEqual([
    [121, 132, 143, 154],
  ]);
});

test("convolutions in two axes and groups", async () => {
  const x = arange(9).reshape([1, 1, 3, 3]).expand([1, 2, 3, 3]);
  const weight = ones([2, 1, 2, 2]);
  const y = conv2d(x, weight, { groups: 2 });
  expect(await y.at(0, 0).toArray()).toEqual([
    [8, 12],
    [20, 24],
  ]);
  const same = conv2d(x, ones([4, 2, 2, 3]), { padding: "same" });
  expect(same.shape).toEqual([1, 4, 3, 3]);
  expect(conv2d(x, ones([4, 1, 1, 1]), { groups: 2, stride: [2, 1] }).shape).toEqual([1, 4, 2, 3]);
});

test("convolutions refuse what does not fit", () => {
  const x = ones([1, 4, 5]);
  expect(codeOf(() => conv1d(x, ones([2, 3, 2])))).toBe("shape");
  expect(codeOf(() => conv1d(x, ones([3, 2, 2]), { groups: 2 }))).toBe("argument");
  expect(codeOf(() => conv1d(x, ones([2, 4, 6])))).toBe("shape");
  expect(codeOf(() => conv1d(x, ones([2, 4, 2]), { stride: 0 }))).toBe("argument");
  expect(codeOf(() => conv1d(x, ones([2, 4, 2]), { padding: "same", stride: 2 }))).toBe("argument");
  expect(codeOf(() => conv1d(x, ones([2, 4, 2]), { bias: ones([3]) }))).toBe("shape");
  expect(codeOf(() => conv2d(x, ones([2, 4, 2, 2]), { stride: [1, 1, 1] }))).toBe("argument");
  expect(codeOf(() => conv1d(ones([4, 1, 2, 3]), ones([2, 4, 2])))).toBe("shape");
});

test("layer norm of nearly constant rows, several axes, with weight and bias", async () => {
  const x = tensor([
    [1e4, 1e4 + 1],
    [3, 3],
  ]);
  await expectClose(await layerNorm(x, 2, { eps: 0.75 }).data(), [-0.5, 0.5, 0, 0]);
  const y = layerNorm(x, [2, 2], { weight: zeros([2, 2]), bias: ones([2, 2]) });
  expect(await y.toArray()).toEqual([
    [1, 1],
    [1, 1],
  ]);
  expect(codeOf(() => layerNorm(x, 3))).toBe("shape");
  expect(codeOf(() => layerNorm(x, []))).toBe("shape");
  expect(codeOf(() => layerNorm(x, 2, { weight: ones([3]) }))).toBe("shape");
  expect(codeOf(() => layerNorm(x, 2, { eps: -1 }))).toBe("argument");
});

test("RMS norm and vectors of length 1", async () => {
  const x = tensor([[3, 4]]);
  await expectClose(await rmsNorm(x, 2, { eps: 0 }).mul(Math.sqrt(12.5)).data(), [3, 4]);
  await expectClose(await normalize(x).data(), [0.6, 0.8]);
  await expectClose(await normalize(zeros([1, 2])).data(), [0, 0]);
  await expectClose(await normalize(x, { p: 1, dim: -1 }).data(), [3 / 7, 4 / 7]);
});

test("batch norm follows the batches while training", async () => {
  const x = tensor([
    [1, 10],
    [3, 30],
  ]);
  const [mean, variance] = [zeros([2]), ones([2])];
  const y = batchNorm(x, mean, variance, { training: true, eps: 0 });
  await expectClose(await y.data(), [-1, -1, 1, 1]);
  await expectClose(await mean.data(), [0.2, 2]);
  await expectClose(await variance.data(), [1.1, 20.9]);
  const options = { eps: 0, weight: tensor([2, 1]), bias: tensor([0, 5]) };
  const later = batchNorm(zeros([1, 2, 3]), zeros([2]), ones([2]), options);
  expect(await later.toArray()).toEqual([
    [
      [0, 0, 0],
      [5, 5, 5],
    ],
  ]);
  expect(codeOf(() => batchNorm(x, null, null))).toBe("argument");
  expect(codeOf(() => batchNorm(ones([2]), mean, variance))).toBe("shape");
});

test("dropout keeps the mean, repeats its mask backward, and stops outside training", async () => {
  manualSeed(9);
  const x = ones([4000], { requiresGrad: true });
  const y = dropout(x, { p: 0.25 });
  y.sum().backward();
  expect(await x.grad!.toArray()).toEqual(await y.toArray());
  const kept = (await y.data()).filter((number) => number !== 0);
  expect(new Set(kept)).toEqual(new Set([Math.fround(4 / 3)]));
  expect(Math.abs(kept.length - 3000)).toBeLessThan(150);
  expect(dropout(x, { training: false })).toBe(x);
  expect(dropout(x, { p: 0 })).toBe(x);
  expect(await dropout(x, { p: 1 }).sum().item()).toBe(0);
  expect(codeOf(() => dropout(x, { p: -0.1 }))).toBe("argument");
});

test("two calls drop different elements, without a new plan", async () => {
  const x = ones([64]);
  const [a, b] = [await dropout(x).toArray(), await dropout(x).toArray()];
  expect(a).not.toEqual(b);
});

test("embeddings: padding has no gradient, bags are joined", async () => {
  const weight = arange(6).reshape([3, 2]).detach();
  const table = tensor(
    [
      [0, 1],
      [2, 3],
      [4, 5],
    ],
    { requiresGrad: true },
  );
  const index = tensor(
    [
      [2, 1],
      [1, 1],
    ],
    { dtype: "int32" },
  );
  embedding(index, table, { paddingIdx: -1 }).sum().backward();
  expect(await table.grad!.toArray()).toEqual([
    [0, 0],
    [3, 3],
    [0, 0],
  ]);
  expect(await embeddingBag(index, weight).toArray()).toEqual([
    [3, 4],
    [2, 3],
  ]);
  expect(await embeddingBag(index, weight, { mode: "max" }).toArray()).toEqual([
    [4, 5],
    [2, 3],
  ]);
  const perSampleWeights = tensor([
    [1, 0],
    [1, 10],
  ]);
  const weighted = embeddingBag(index, weight, { mode: "sum", perSampleWeights });
  expect(await weighted.toArray()).toEqual([
    [4, 5],
    [22, 33],
  ]);
  expect(codeOf(() => embedding(index, table, { paddingIdx: 3 }))).toBe("argument");
  expect(codeOf(() => embedding(index, ones([2])))).toBe("shape");
  expect(codeOf(() => embeddingBag(index.at(0), table))).toBe("shape");
  expect(codeOf(() => embeddingBag(index, table, { perSampleWeights }))).toBe("argument");
});

test("the linear map", async () => {
  const y = linear(
    tensor([1, 2]),
    tensor([
      [1, 1],
      [0, 3],
    ]),
    tensor([10, 20]),
  );
  expect(await y.toArray()).toEqual([13, 26]);
  expect(codeOf(() => linear(ones([3]), ones([2, 2])))).toBe("shape");
});
