import { beforeAll, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { reference } from "../reference/device.js";
import { codeOf } from "../testing/index.js";
import { arange, ones, tensor, zeros } from "./creation.js";

beforeAll(() => {
  setDevice(reference());
});

test("axes are removed or kept", () => {
  const x = ones([2, 3, 4]);
  expect(x.sum().shape).toEqual([]);
  expect(x.sum(1).shape).toEqual([2, 4]);
  expect(x.sum(-1, { keepdim: true }).shape).toEqual([2, 3, 1]);
  expect(x.mean([0, -1]).shape).toEqual([3]);
  expect(x.sum([]).shape).toEqual([2, 3, 4]);
  expect(x.max(1, { keepdim: true }).values.shape).toEqual([2, 1, 4]);
  expect(x.argmax(0).shape).toEqual([3, 4]);
  expect(codeOf(() => x.sum(3))).toBe("argument");
  expect(codeOf(() => x.sum([0, 0]))).toBe("argument");
});

test("types of sums and counts", async () => {
  expect(tensor([true, true]).sum().dtype).toBe("int32");
  expect(tensor([1, 2], { dtype: "int8" }).sum().dtype).toBe("int32");
  expect(tensor([1, 2], { dtype: "int32" }).mean().dtype).toBe("float32");
  expect(await tensor([0, 3, NaN]).countNonzero().item()).toBe(2);
  expect(await zeros([0]).sum().item()).toBe(0);
  expect(await zeros([0]).prod().item()).toBe(1);
  expect(await zeros([0]).mean().item()).toBeNaN();
  expect(await zeros([0]).all().item()).toBe(1);
  expect(await zeros([0]).any().item()).toBe(0);
  expect(codeOf(() => zeros([0]).amax())).toBe("shape");
});

test("extremes along an axis send the gradient to the first place", async () => {
  const x = tensor(
    [
      [1, 3, 3],
      [2, 2, 0],
    ],
    { requiresGrad: true },
  );
  const { values, indices } = x.max(1);
  values.sum().backward();
  expect(await x.grad!.toArray()).toEqual([
    [0, 1, 0],
    [1, 0, 0],
  ]);
  expect(await indices.toArray()).toEqual([1, 0]);
  x.grad = null;
  x.amax(1).sum().backward();
  expect(await x.grad!.toArray()).toEqual([
    [0, 0.5, 0.5],
    [0.5, 0.5, 0],
  ]);
});

test("extremes of a scalar", async () => {
  const { values, indices } = tensor(3).max(0);
  expect([await values.item(), await indices.item()]).toEqual([3, 0]);
});

test("norms", async () => {
  const x = tensor([3, -4, 0]);
  expect(await x.norm().item()).toBe(5);
  expect(await x.norm(1).item()).toBe(7);
  expect(await x.norm(Infinity).item()).toBe(4);
  expect(await x.norm(-Infinity).item()).toBe(0);
  expect(await x.norm(0).item()).toBe(2);
  expect(await x.norm(3).item()).toBeCloseTo(91 ** (1 / 3), 5);
  expect(codeOf(() => x.norm(NaN))).toBe("argument");
});

test("norms and standard deviations of constant rows have gradient 0", async () => {
  const x = zeros([3], { requiresGrad: true });
  x.norm().add(x.std()).add(x.norm(3)).backward();
  expect(await x.grad!.toArray()).toEqual([0, 0, 0]);
});

test("variance with corrections", async () => {
  const x = tensor([1, 2, 3, 4]);
  expect(await x.var().item()).toBeCloseTo(5 / 3, 6);
  expect(await x.var(0, { correction: 0 }).item()).toBeCloseTo(1.25, 6);
  expect(await x.std(0, { correction: 0 }).item()).toBeCloseTo(Math.sqrt(1.25), 6);
  expect(await tensor([1]).var().item()).toBeNaN();
  expect(codeOf(() => x.var(0, { correction: NaN }))).toBe("argument");
});

test("log-sum-exp of rows without finite numbers", async () => {
  const x = tensor([
    [-Infinity, -Infinity],
    [Infinity, 0],
    [1000, 1000],
  ]);
  const [low, high, large] = await x.logsumexp(1).data();
  expect(low).toBe(-Infinity);
  expect(high).toBe(Infinity);
  expect(large).toBeCloseTo(1000 + Math.LN2, 3);
});

test("scans and order along axes", async () => {
  const x = tensor([3, 1, 2, 3]);
  expect(await x.cumsum(0).toArray()).toEqual([3, 4, 6, 9]);
  expect(await x.cumprod(0).toArray()).toEqual([3, 3, 6, 18]);
  expect(await x.cummax(0).indices.toArray()).toEqual([0, 0, 0, 3]);
  expect(await x.cummin(0).values.toArray()).toEqual([3, 1, 1, 1]);
  expect(await x.sort().indices.toArray()).toEqual([1, 2, 0, 3]);
  expect(await x.argsort(0, { descending: true }).toArray()).toEqual([0, 3, 2, 1]);
  expect(await x.topk(2).values.toArray()).toEqual([3, 3]);
  expect(await x.topk(2, -1, { largest: false }).values.toArray()).toEqual([1, 2]);
  expect(await tensor([true, true]).cumsum(0).toArray()).toEqual([1, 2]);
  expect(await tensor(5).cumsum(0).item()).toBe(5);
  expect(codeOf(() => x.topk(5))).toBe("argument");
  expect(codeOf(() => x.cumsum(1))).toBe("argument");
});

test("the running product's gradient is right around zeros", async () => {
  const x = tensor([2, 0, 3, 0, 4], { requiresGrad: true });
  x.cumprod(0)
    .mul(tensor([1, 10, 100, 1000, 10000]))
    .sum()
    .backward();
  // y = [2, 0, 0, 0, 0]; only the second factor is the only zero of any product.
  expect(await x.grad!.toArray()).toEqual([1, 2 * 10 + 6 * 100, 0, 0, 0]);
});

test("probabilities", async () => {
  const x = arange(3).log();
  expect((await x.softmax(0).data()).map((p) => Math.round(p * 3000))).toEqual(
    new Float32Array([0, 1000, 2000]),
  );
  expect(await tensor(3).softmax(0).item()).toBe(1);
  expect(await tensor(3).logSoftmax(0).item()).toBe(0);
  expect(ones([2, 0]).softmax(1).shape).toEqual([2, 0]);
  expect(codeOf(() => x.softmax(1))).toBe("argument");
});
