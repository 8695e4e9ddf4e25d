import { beforeAll, expect, test } from "vitest";
import { getDevice, setDevice } from "../device/current.js";
import { reference } from "../reference/device.js";
import { codeOf } from "../testing/index.js";
import {
  arange,
  eye,
  fromData,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  tensor,
  zeros,
  zerosLike,
} from "./creation.js";
import { broadcastTensors, cat, einsum, meshgrid, stack, where } from "./joining.js";

beforeAll(() => {
  setDevice(reference());
});

test("types follow the data", () => {
  expect(tensor([1, 2]).dtype).toBe("float32");
  expect(tensor([true, false]).dtype).toBe("bool");
  expect(tensor([true, 2]).dtype).toBe("float32");
  expect(tensor([]).dtype).toBe("float32");
  expect(tensor(new Float64Array(2)).dtype).toBe("float32");
  expect(tensor(new Int16Array(2)).dtype).toBe("int32");
  expect(tensor(new Uint8Array(2)).dtype).toBe("int32");
  expect(tensor(new Uint32Array(2)).dtype).toBe("uint32");
  expect(tensor(new Int8Array(2)).dtype).toBe("int8");
  expect(tensor(3).shape).toEqual([]);
});

test("data is copied on the way in", async () => {
  const data = new Float32Array([1, 2]);
  const x = tensor(data);
  data[0] = 9;
  expect(await x.toArray()).toEqual([1, 2]);
  const numbers = await x.data();
  numbers[0] = 9;
  expect(await x.toArray()).toEqual([1, 2]);
});

test("data that does not fit is refused", () => {
  expect(() => tensor([[1, 2], [3]])).toThrow(
    "tensor: every row must have the same length and hold numbers, got a row of length 1 where the shape [2, 2] was expected.",
  );
  expect(codeOf(() => tensor([1, [2]]))).toBe("shape");
  // @ts-expect-error text is no number
  expect(codeOf(() => tensor(["1"]))).toBe("shape");
  expect(() => tensor([1, NaN], { dtype: "int32" })).toThrow(
    "tensor: elements of an int32 tensor must be whole numbers from -2147483648 to 2147483647, got NaN at position 1.",
  );
  expect(codeOf(() => tensor([1.5], { dtype: "int8" }))).toBe("argument");
  expect(codeOf(() => tensor([128], { dtype: "int8" }))).toBe("argument");
  expect(codeOf(() => tensor([-1], { dtype: "uint32" }))).toBe("argument");
  expect(codeOf(() => fromData(new Float32Array(5), [2, 3]))).toBe("shape");
  expect(codeOf(() => zeros([2, -1]))).toBe("shape");
  expect(codeOf(() => zeros([1.5]))).toBe("shape");
  // @ts-expect-error there is no such type
  expect(codeOf(() => zeros([1], { dtype: "float64" }))).toBe("dtype");
  expect(codeOf(() => full([1], 300, { dtype: "int8" }))).toBe("argument");
});

test("float16 is stored in half and read as floats", async () => {
  const x = tensor([1, 0.1, 65536], { dtype: "float16" });
  expect(await x.toArray()).toEqual([1, Math.fround(0.0999755859375), Infinity]);
  expect(x.add(1).dtype).toBe("float32");
});

test("leaves own numbers, other fillings are constants", async () => {
  const parameter = zeros([2], { requiresGrad: true });
  expect(parameter.requiresGrad).toBe(true);
  expect(parameter.device).toBe(getDevice());
  expect(zeros([2]).device).toBeNull();
  expect(codeOf(() => zeros([2], { dtype: "int32", requiresGrad: true }))).toBe("gradient");
  expect(codeOf(() => arange(3, { requiresGrad: true }))).toBe("gradient");
  parameter.mul(3).sum().backward();
  expect(await parameter.grad!.toArray()).toEqual([3, 3]);
});

test("fillings and progressions", async () => {
  expect(await full([2], 0.5).toArray()).toEqual([0.5, 0.5]);
  expect(await full([2], 3, { dtype: "float16" }).toArray()).toEqual([3, 3]);
  expect(await ones([1], { dtype: "bool" }).toArray()).toEqual([true]);
  expect(await arange(3).toArray()).toEqual([0, 1, 2]);
  expect(arange(3, { dtype: "int32" }).dtype).toBe("int32");
  expect(await arange(1, 2, 0.25).toArray()).toEqual([1, 1.25, 1.5, 1.75]);
  expect(await arange(5, 0, -2).toArray()).toEqual([5, 3, 1]);
  expect(arange(3, 1).shape).toEqual([0]);
  expect(await linspace(0, 1, 5).toArray()).toEqual([0, 0.25, 0.5, 0.75, 1]);
  expect(await linspace(2, 3, 1).toArray()).toEqual([2]);
  expect(await eye(2).toArray()).toEqual([
    [1, 0],
    [0, 1],
  ]);
  expect(eye(2, 3).shape).toEqual([2, 3]);
  const like = tensor([[1]], { dtype: "int32" });
  expect([zerosLike(like), onesLike(like), fullLike(like, 4)].map((x) => x.dtype)).toEqual([
    "int32",
    "int32",
    "int32",
  ]);
  expect(codeOf(() => arange(0, 1, 0))).toBe("argument");
  expect(codeOf(() => linspace(0, 1, -1))).toBe("argument");
});

test("joining", async () => {
  const x = tensor([1, 2]);
  expect(await cat([x, tensor([3])]).toArray()).toEqual([1, 2, 3]);
  expect(await stack([x, x], -1).toArray()).toEqual([
    [1, 1],
    [2, 2],
  ]);
  expect(cat([x, tensor([1], { dtype: "int32" })]).dtype).toBe("float32");
  const bools = tensor([true]);
  expect(cat([bools, bools]).dtype).toBe("bool");
  const [rows, columns] = meshgrid([arange(2), arange(3)]);
  expect(await rows!.toArray()).toEqual([
    [0, 0, 0],
    [1, 1, 1],
  ]);
  expect(columns!.shape).toEqual([2, 3]);
  expect(meshgrid([arange(2), arange(3)], { indexing: "xy" })[0]!.shape).toEqual([3, 2]);
  expect(broadcastTensors(ones([2, 1]), ones([3])).map((y) => y.shape)).toEqual([
    [2, 3],
    [2, 3],
  ]);
  expect(codeOf(() => cat([]))).toBe("argument");
  expect(codeOf(() => cat([tensor(1)]))).toBe("shape");
  expect(codeOf(() => cat([ones([2, 2]), ones([2, 3])]))).toBe("shape");
  expect(codeOf(() => stack([ones([2]), ones([3])]))).toBe("shape");
});

test("where takes numbers on either side", async () => {
  const condition = tensor([true, false]);
  expect(await where(condition, 1, 2).toArray()).toEqual([1, 2]);
  expect(where(condition, tensor([1], { dtype: "int32" }), 2).dtype).toBe("int32");
  expect(await where(condition, 5, tensor([1, 2])).toArray()).toEqual([5, 2]);
});

test("einsum refuses equations that do not fit", () => {
  const x = ones([2, 3]);
  expect(codeOf(() => einsum("ij,jk->ik", x))).toBe("argument");
  expect(codeOf(() => einsum("ijk->i", x))).toBe("argument");
  expect(codeOf(() => einsum("ij->ii", x))).toBe("argument");
  expect(codeOf(() => einsum("ij->k", x))).toBe("argument");
  expect(codeOf(() => einsum("ii->i", x))).toBe("shape");
  expect(codeOf(() => einsum("ij,ij->ij", x, ones([3, 3])))).toBe("shape");
});
