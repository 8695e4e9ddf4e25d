import { beforeAll, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { manualSeed, getDefaultGenerator } from "../random/generator.js";
import { randn } from "../random/distributions.js";
import { reference } from "../reference/device.js";
import { codeOf, expectClose } from "../testing/index.js";
import {
  attentionWeights,
  scaledDotProductAttention,
  type AttentionOptions,
  type VisibilityOptions,
} from "./attention.js";
import { ones, tensor, zeros } from "./creation.js";
import type { Tensor } from "./tensor.js";

beforeAll(() => {
  setDevice(reference());
});

/** Random numbers that do not change when they are read again. */
async function random(shape: readonly number[]): Promise<Tensor> {
  return randn(shape).realize();
}

/** Which keys each query sees, from the weights. */
async function visibleKeys(
  queries: number,
  keys: number,
  options: VisibilityOptions,
): Promise<string[]> {
  const weights = attentionWeights(ones([queries, 2]), ones([keys, 2]), options);
  const rows = (await weights.toArray()) as number[][];
  return rows.map((row) => row.map((weight) => (weight > 0 ? "x" : ".")).join(""));
}

test("causal attention ends at the last key, windows count from there", async () => {
  expect(await visibleKeys(3, 3, { isCausal: true })).toEqual(["x..", "xx.", "xxx"]);
  expect(await visibleKeys(2, 4, { isCausal: true })).toEqual(["xxx.", "xxxx"]);
  expect(await visibleKeys(3, 2, { isCausal: true })).toEqual(["..", "x.", "xx"]);
  expect(await visibleKeys(3, 3, { window: [1, 0] })).toEqual(["x..", "xx.", ".xx"]);
  expect(await visibleKeys(3, 3, { window: [-1, 1] })).toEqual(["xx.", "xxx", "xxx"]);
  expect(await visibleKeys(3, 3, { window: [0, -1] })).toEqual(["xxx", ".xx", "..x"]);
  expect(await visibleKeys(4, 4, { window: [1, 5], isCausal: true })).toEqual([
    "x...",
    "xx..",
    ".xx.",
    "..xx",
  ]);
});

test("a mask narrows what causality leaves", async () => {
  const mask = tensor([true, false, true]);
  expect(await visibleKeys(3, 3, { mask, isCausal: true })).toEqual(["x..", "x..", "x.x"]);
});

test.each<[string, AttentionOptions]>([
  ["plain", {}],
  ["causal", { isCausal: true }],
  ["scaled", { scale: 0.3 }],
  ["window", { window: [2, 1] }],
])("agrees with the weights: %s", async (_, options) => {
  const [q, k, v] = await Promise.all(
    [
      [2, 4, 5, 3],
      [2, 2, 6, 3],
      [2, 2, 6, 4],
    ].map(random),
  );
  const grouped = { ...options, enableGqa: true };
  const y = scaledDotProductAttention(q!, k!, v!, grouped);
  const repeated = (x: Tensor): Tensor => x.repeatInterleave(2, 1);
  const weights = attentionWeights(q!, repeated(k!), options);
  await expectClose(await y.data(), await weights.matmul(repeated(v!)).data());
  await expectClose(await attentionWeights(q!, k!, grouped).data(), await weights.data());
});

test("a float mask is added to the scores", async () => {
  const [q, k, v] = await Promise.all(
    [
      [1, 2, 3],
      [1, 4, 3],
      [1, 4, 2],
    ].map(random),
  );
  const hidden = tensor([[0, 0, -Infinity, 0]]);
  const visible = tensor([true, true, false, true]);
  const [a, b] = [hidden, visible].map((mask) => scaledDotProductAttention(q!, k!, v!, { mask }));
  await expectClose(await a!.data(), await b!.data());
});

test("queries without a visible key give 0, and gradients of 0", async () => {
  const q = ones([1, 1, 2, 2], { requiresGrad: true });
  const k = ones([1, 1, 3, 2], { requiresGrad: true });
  const v = ones([1, 1, 3, 2], { requiresGrad: true });
  const mask = tensor([
    [true, true, true],
    [false, false, false],
  ]);
  const y = scaledDotProductAttention(q, k, v, { mask });
  y.sum().backward();
  expect(await v.grad!.select(3, 0).sum().item()).toBeCloseTo(1, 6);
  expect((await q.grad!.data()).every((g) => Math.abs(g) < 1e-12)).toBe(true);
  expect(await y.toArray()).toEqual([
    [
      [
        [1, 1],
        [0, 0],
      ],
    ],
  ]);
  const empty = scaledDotProductAttention(ones([2, 3]), zeros([0, 3]), zeros([0, 4]));
  expect(await empty.sum().item()).toBe(0);
});

test("any number of leading axes", async () => {
  const four = await Promise.all(
    [
      [6, 2, 4, 3],
      [6, 2, 5, 3],
      [6, 2, 5, 3],
    ].map(random),
  );
  const [q, k, v] = four.map((x) => x.reshape([2, 3, ...x.shape.slice(1)]));
  const expected = scaledDotProductAttention(four[0]!, four[1]!, four[2]!);
  const y = scaledDotProductAttention(q!, k!, v!, { mask: ones([3, 1, 4, 5]).bool() });
  expect(y.shape).toEqual([2, 3, 2, 4, 3]);
  await expectClose(await y.data(), await expected.data());
});

test("dropout drops the same weights in the backward pass", async () => {
  manualSeed(5);
  const [q, k] = await Promise.all(
    [
      [1, 1, 8, 4],
      [1, 1, 8, 4],
    ].map(random),
  );
  const state = getDefaultGenerator().getState();
  // The identity as values makes the output the dropped weights themselves.
  const identity = tensor([
    [Array.from({ length: 8 }, (_, i) => Array.from({ length: 8 }, (_, j) => Number(i === j)))],
  ]);
  const dropped = scaledDotProductAttention(q!, k!, identity, { dropoutP: 0.5 });
  const weights = [...(await attentionWeights(q!, k!).data())];
  const seen = [...(await dropped.data())];
  const kept = seen.map((w) => Number(w !== 0));
  const count = kept.reduce((sum, n) => sum + n, 0);
  expect(count).toBeGreaterThan(16);
  expect(count).toBeLessThan(48);
  await expectClose(
    seen,
    weights.map((w, i) => w * kept[i]! * 2),
  );
  getDefaultGenerator().setState(state);
  const v = ones([1, 1, 8, 1], { requiresGrad: true });
  scaledDotProductAttention(q!, k!, v, { dropoutP: 0.5 }).sum().backward();
  const expected = Array.from({ length: 8 }, (_, j) =>
    Array.from({ length: 8 }, (_, i) => seen[i * 8 + j]!).reduce((sum, w) => sum + w, 0),
  );
  await expectClose(await v.grad!.data(), expected);
});

test("what does not fit is refused", () => {
  const x = ones([1, 2, 3, 4]);
  expect(codeOf(() => scaledDotProductAttention(x, ones([2, 3, 4]), x))).toBe("shape");
  expect(codeOf(() => scaledDotProductAttention(x, ones([1, 2, 3, 5]), x))).toBe("shape");
  expect(codeOf(() => scaledDotProductAttention(x, x, ones([1, 2, 4, 4])))).toBe("shape");
  const one = ones([1, 1, 3, 4]);
  expect(codeOf(() => scaledDotProductAttention(x, one, one))).toBe("shape");
  expect(codeOf(() => scaledDotProductAttention(one, x, x, { enableGqa: true }))).toBe("shape");
  expect(codeOf(() => scaledDotProductAttention(x, x, x, { mask: ones([4, 3]) }))).toBe("shape");
  expect(codeOf(() => scaledDotProductAttention(x, x, x, { mask: ones([5, 1, 3, 3]) }))).toBe(
    "shape",
  );
  const mask = ones([3, 3]);
  expect(codeOf(() => scaledDotProductAttention(x, x, x, { mask, attnMask: mask }))).toBe(
    "argument",
  );
  expect(codeOf(() => scaledDotProductAttention(x, x, x, { window: [1, -2] }))).toBe("argument");
  expect(codeOf(() => scaledDotProductAttention(x, x, x, { scale: NaN }))).toBe("argument");
  expect(codeOf(() => scaledDotProductAttention(x, x, x, { dropoutP: 1.5 }))).toBe("argument");
});
