import { beforeAll, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { profile } from "../plan/profile.js";
import { reference } from "../reference/device.js";
import { codeOf } from "../testing/index.js";
import { arange, tensor, zeros } from "./creation.js";
import type { Tensor } from "./tensor.js";

beforeAll(() => {
  setDevice(reference());
});

const at = (...numbers: number[]): Tensor => tensor(numbers, { dtype: "int32" });

test("take replaces the axis by the axes of the index", async () => {
  const x = arange(6).reshape([3, 2]);
  const index = tensor(
    [
      [2, 0],
      [1, 1],
    ],
    { dtype: "int32" },
  );
  expect(await x.take(index, 0).toArray()).toEqual([
    [
      [4, 5],
      [0, 1],
    ],
    [
      [2, 3],
      [2, 3],
    ],
  ]);
  expect(await x.take(at(5, 0)).toArray()).toEqual([5, 0]);
  expect(await x.indexSelect(1, at(1)).toArray()).toEqual([[1], [3], [5]]);
});

test("an index that is known and out of range is refused when the operation is recorded", () => {
  const x = arange(6).reshape([3, 2]);
  expect(() => x.take(at(3), 0)).toThrow(
    "take: indices must lie between 0 and 2, got 3. Correct them.",
  );
  expect(codeOf(() => x.gather(0, tensor([[-1]], { dtype: "int32" })))).toBe("argument");
  expect(codeOf(() => x.take(tensor([1]), 0))).toBe("dtype");
  expect(codeOf(() => at(4).oneHot(4))).toBe("argument");
});

test("an index computed later is moved into range", async () => {
  const x = tensor([10, 20, 30]);
  expect(await x.take(at(5, -4).add(0), 0).toArray()).toEqual([30, 10]);
});

test("gather and scatter", async () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  const index = tensor(
    [
      [2, 0],
      [1, 1],
    ],
    { dtype: "int32" },
  );
  expect(await x.gather(1, index).toArray()).toEqual([
    [3, 1],
    [5, 5],
  ]);
  const source = tensor([
    [10, 20, 99],
    [30, 40, 99],
  ]);
  expect(await x.scatterAdd(1, index, source).toArray()).toEqual([
    [21, 2, 13],
    [4, 75, 6],
  ]);
  expect(await x.scatter(1, index, 0).toArray()).toEqual([
    [0, 2, 0],
    [4, 0, 6],
  ]);
  expect(codeOf(() => x.gather(1, at(0)))).toBe("shape");
  expect(codeOf(() => x.scatter(1, index, tensor([[1]])))).toBe("shape");
});

test("scatter's gradient leaves replaced elements out", async () => {
  const base = tensor([1, 2, 3], { requiresGrad: true });
  const source = tensor([7], { requiresGrad: true });
  base
    .scatter(0, at(1), source)
    .mul(tensor([1, 2, 3]))
    .sum()
    .backward();
  expect(await base.grad!.toArray()).toEqual([1, 0, 3]);
  expect(await source.grad!.toArray()).toEqual([2]);
});

test("indexAdd adds repeated rows", async () => {
  const base = zeros([3]);
  const source = tensor([1, 10, 100]);
  expect(await base.indexAdd(0, at(2, 0, 2), source).toArray()).toEqual([10, 0, 101]);
  expect(await base.indexAdd(0, at(0, 1, 2), source, { alpha: 2 }).toArray()).toEqual([2, 20, 200]);
  expect(codeOf(() => base.indexAdd(0, at(0), source))).toBe("shape");
});

test("a window's start may change without a new plan, and is moved so that it fits", async () => {
  const x = tensor([0, 1, 2, 3, 4]);
  expect(await x.dynamicSlice(0, 1, 2).toArray()).toEqual([1, 2]);
  const { result, compileCount } = await profile(() => x.dynamicSlice(0, 9, 2).toArray());
  expect(result).toEqual([3, 4]);
  expect(compileCount).toBe(0);
  expect(await x.dynamicUpdate(0, tensor([8, 9]), -3).toArray()).toEqual([8, 9, 2, 3, 4]);
  expect(await x.dynamicUpdate(0, tensor([8]), at(2).at(0)).toArray()).toEqual([0, 1, 8, 3, 4]);
  expect(codeOf(() => x.dynamicSlice(0, 0, 6))).toBe("argument");
  expect(codeOf(() => x.dynamicSlice(0, 0.5, 2))).toBe("argument");
  expect(codeOf(() => x.dynamicUpdate(0, zeros([2, 2]), 0))).toBe("shape");
});

test("one-hot rows", async () => {
  expect(await at(2, 0).oneHot(3).toArray()).toEqual([
    [0, 0, 1],
    [1, 0, 0],
  ]);
  expect(codeOf(() => at(0).oneHot(0))).toBe("argument");
});

test("indexing needs an axis", () => {
  expect(codeOf(() => tensor(1).gather(0, at(0)))).toBe("shape");
});
