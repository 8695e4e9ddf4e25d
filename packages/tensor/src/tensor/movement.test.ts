import { beforeAll, describe, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { reference } from "../reference/device.js";
import { codeOf } from "../testing/index.js";
import { arange, ones, tensor } from "./creation.js";
import { cat } from "./joining.js";

beforeAll(() => {
  setDevice(reference());
});

describe("slice", () => {
  const x = arange(24).reshape([2, 3, 4]);

  test.each([
    ["positions remove axes", [1, 2], [20, 21, 22, 23]],
    ["negative positions count from the end", [-1, -1, -1], 23],
    [
      "ranges, cut to what is there",
      [0, [1, 100], [0, 2]],
      [
        [4, 5],
        [8, 9],
      ],
    ],
    ["negative ends", [0, 0, [-3, -1]], [1, 2]],
    ["steps", [0, 0, [1, null, 2]], [1, 3]],
    ["null for a whole axis", [0, null, 0], [0, 4, 8]],
    ["an ellipsis for the axes between", [1, "...", 0], [12, 16, 20]],
    ["an ellipsis for none", [1, 0, 0, "..."], 12],
    ["an empty range", [0, 0, [3, 1]], []],
  ] as const)("%s", async (_, specs, expected) => {
    expect(await x.slice(...specs).toArray()).toEqual(expected);
  });

  test("refuses what the tensor does not have", () => {
    expect(() => x.slice(2)).toThrow(
      "slice: the position on axis 0 must lie between -2 and 1, got 2. Choose a position the tensor has.",
    );
    expect(codeOf(() => x.slice(0, 0, 0, 0))).toBe("argument");
    expect(codeOf(() => x.slice("...", "..."))).toBe("argument");
    expect(codeOf(() => x.slice([0, 2, -1]))).toBe("argument");
    expect(codeOf(() => x.slice([0.5, 2]))).toBe("argument");
  });

  test("at, select and narrow", async () => {
    expect(await x.at(1, -1).toArray()).toEqual([20, 21, 22, 23]);
    expect(await x.select(2, -1).toArray()).toEqual([
      [3, 7, 11],
      [15, 19, 23],
    ]);
    expect(await x.narrow(-1, 1, 2).at(0, 0).toArray()).toEqual([1, 2]);
    expect(codeOf(() => x.narrow(-1, 3, 2))).toBe("argument");
    expect(codeOf(() => x.select(0, 5))).toBe("argument");
  });
});

test("reshape infers one size", () => {
  const x = ones([2, 6]);
  expect(x.reshape([3, -1]).shape).toEqual([3, 4]);
  expect(x.reshape([-1]).shape).toEqual([12]);
  expect(codeOf(() => x.reshape([5, -1]))).toBe("shape");
  expect(codeOf(() => x.reshape([-1, -1]))).toBe("shape");
  expect(codeOf(() => x.reshape([7]))).toBe("shape");
  expect(codeOf(() => ones([0]).reshape([0, -1]))).toBe("shape");
  expect(ones([0]).reshape([0, 3]).shape).toEqual([0, 3]);
});

test("axes are joined, split, inserted and removed", () => {
  const x = ones([2, 1, 6]);
  expect(x.flatten().shape).toEqual([12]);
  expect(x.flatten(1).shape).toEqual([2, 6]);
  expect(x.unflatten(-1, [2, -1]).shape).toEqual([2, 1, 2, 3]);
  expect(x.squeeze().shape).toEqual([2, 6]);
  expect(x.squeeze(0).shape).toEqual([2, 1, 6]);
  expect(x.unsqueeze(-1).shape).toEqual([2, 1, 6, 1]);
  expect(x.permute([2, 0, 1]).shape).toEqual([6, 2, 1]);
  expect(x.expand([3, -1, 4, -1]).shape).toEqual([3, 2, 4, 6]);
  expect(ones([2, 3]).t().shape).toEqual([3, 2]);
  expect(codeOf(() => x.t())).toBe("shape");
  expect(codeOf(() => x.permute([0, 1]))).toBe("argument");
  expect(codeOf(() => x.permute([0, 1, 1]))).toBe("argument");
  expect(codeOf(() => x.expand([2, 2, 7]))).toBe("shape");
  expect(codeOf(() => x.transpose(0, 3))).toBe("argument");
});

test("padding adds a value around, negative amounts cut", async () => {
  const x = tensor([
    [1, 2],
    [3, 4],
  ]);
  expect(await x.pad([1, 0]).toArray()).toEqual([
    [0, 1, 2],
    [0, 3, 4],
  ]);
  expect(await x.pad([0, 1, 0, 1], 9).toArray()).toEqual([
    [1, 2, 9],
    [3, 4, 9],
    [9, 9, 9],
  ]);
  expect(await x.pad([1, -1], -Infinity).toArray()).toEqual([
    [-Infinity, 1],
    [-Infinity, 3],
  ]);
  const integers = tensor([1], { dtype: "int32" });
  expect(await integers.pad([1, 1], 2).toArray()).toEqual([2, 1, 2]);
  expect(codeOf(() => integers.pad([1, 1], 0.5))).toBe("dtype");
  expect(codeOf(() => x.pad([1]))).toBe("argument");
  expect(codeOf(() => x.pad([-2, -1]))).toBe("argument");
});

test("the gradient of padding with a value is that of the part", async () => {
  const x = tensor([1, 2], { requiresGrad: true });
  x.pad([1, 1], 5)
    .mul(tensor([1, 2, 3, 4]))
    .sum()
    .backward();
  expect(await x.grad!.toArray()).toEqual([2, 3]);
});

test("parts and their joining", async () => {
  const x = arange(7);
  expect(x.split(3).map((part) => part.shape[0])).toEqual([3, 3, 1]);
  expect(x.split([2, 5]).map((part) => part.shape[0])).toEqual([2, 5]);
  expect(x.chunk(3).map((part) => part.shape[0])).toEqual([3, 3, 1]);
  expect(x.chunk(10)).toHaveLength(7);
  expect(await cat(x.split(2)).toArray()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(x.unbind()).toHaveLength(7);
  expect(codeOf(() => x.split([2, 2]))).toBe("argument");
  expect(codeOf(() => x.split(0))).toBe("argument");
});

test("diagonals and triangles", async () => {
  const x = arange(9).reshape([3, 3]);
  expect(await x.diagonal().toArray()).toEqual([0, 4, 8]);
  expect(await x.diagonal(1).toArray()).toEqual([1, 5]);
  expect(await x.diagonal(-1).toArray()).toEqual([3, 7]);
  expect(await x.tril().toArray()).toEqual([
    [0, 0, 0],
    [3, 4, 0],
    [6, 7, 8],
  ]);
  expect(await x.triu(1).toArray()).toEqual([
    [0, 1, 2],
    [0, 0, 5],
    [0, 0, 0],
  ]);
  expect(await ones([2, 2]).bool().tril().toArray()).toEqual([
    [true, false],
    [true, true],
  ]);
  expect(codeOf(() => ones([3]).tril())).toBe("shape");
});

test("repetition and order", async () => {
  const x = tensor([1, 2, 3]);
  expect(await x.repeat([2]).toArray()).toEqual([1, 2, 3, 1, 2, 3]);
  expect(x.repeat([2, 1]).shape).toEqual([2, 3]);
  expect(await x.repeatInterleave(2).toArray()).toEqual([1, 1, 2, 2, 3, 3]);
  expect(await x.flip(0).toArray()).toEqual([3, 2, 1]);
  expect(await x.roll(1).toArray()).toEqual([3, 1, 2]);
  expect(await x.roll(-4, 0).toArray()).toEqual([2, 3, 1]);
  expect(await x.unfold(0, 2, 1).toArray()).toEqual([
    [1, 2],
    [2, 3],
  ]);
  expect(codeOf(() => x.unfold(0, 4, 1))).toBe("argument");
  expect(codeOf(() => x.repeat([]))).toBe("argument");
});
