import { beforeAll, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { profile } from "../plan/profile.js";
import { reference } from "../reference/device.js";
import { codeOf } from "../testing/index.js";
import { ones, tensor } from "./creation.js";
import type { Tensor } from "./tensor.js";

beforeAll(() => {
  setDevice(reference());
});

const integers = (data: number[]): Tensor => tensor(data, { dtype: "int32" });

test("a number takes the type of the tensor it meets", () => {
  expect(integers([1, 2]).add(1).dtype).toBe("int32");
  expect(integers([1, 2]).add(0.5).dtype).toBe("float32");
  expect(integers([1, 2]).mul(2 ** 40).dtype).toBe("float32");
  expect(tensor([1]).add(1).dtype).toBe("float32");
  expect(tensor([true]).add(1).dtype).toBe("int32");
  expect(tensor([1], { dtype: "uint32" }).add(4e9).dtype).toBe("uint32");
  expect(tensor([1], { dtype: "float16" }).mul(2).dtype).toBe("float32");
  expect(integers([1]).div(2).dtype).toBe("float32");
});

test("mixed types widen: bool, int32, uint32, float32", () => {
  expect(tensor([true]).add(tensor([false])).dtype).toBe("int32");
  expect(integers([1]).add(tensor([1], { dtype: "uint32" })).dtype).toBe("uint32");
  expect(integers([1]).add(tensor([1])).dtype).toBe("float32");
  expect(tensor([1], { dtype: "int8" }).add(integers([1])).dtype).toBe("int32");
});

test("a number that changes needs no new plan", async () => {
  const x = tensor([1, 2]);
  await x.mul(2).clamp(1, 3).data();
  const { compileCount, result } = await profile(() => x.mul(5).clamp(6, 8).toArray());
  expect(compileCount).toBe(0);
  expect(result).toEqual([6, 8]);
});

test("integer division and remainder round toward minus infinity", async () => {
  const x = integers([7, -7, 7, -7]);
  const y = integers([2, 2, -2, -2]);
  expect(await x.floorDivide(y).toArray()).toEqual([3, -4, -4, 3]);
  expect(await x.remainder(y).toArray()).toEqual([1, 1, -1, -1]);
  expect(await tensor([-1.5]).floorDivide(1).toArray()).toEqual([-2]);
});

test("powers with special exponents", async () => {
  const x = tensor([4, 9]);
  expect(await x.pow(2).toArray()).toEqual([16, 81]);
  expect(await x.pow(3).toArray()).toEqual([64, 729]);
  expect(await x.pow(0.5).toArray()).toEqual([2, 3]);
  expect(await x.pow(1).toArray()).toEqual([4, 9]);
  expect(await x.pow(-1).mul(36).toArray()).toEqual([9, 4]);
  expect(await x.pow(4).toArray()).toEqual([256, 6561]);
  expect(await integers([3]).pow(2).toArray()).toEqual([9]);
  const zeroth = tensor([NaN, 2], { requiresGrad: true });
  const y = zeroth.pow(0);
  expect(await y.toArray()).toEqual([1, 1]);
  zeroth.pow(0).sum().backward();
  expect(await zeroth.grad!.toArray()).toEqual([0, 0]);
});

test("rounding: halves go to the even number, integers stay", async () => {
  expect(await tensor([0.5, 1.5, 2.5, -0.5]).round().toArray()).toEqual([0, 2, 2, -0]);
  expect(integers([3]).floor().dtype).toBe("int32");
  expect(await tensor([-1.7]).trunc().toArray()).toEqual([-1]);
});

test("maskedFill keeps the type and takes whole numbers for integers", async () => {
  const mask = tensor([true, false]);
  const filled = integers([1, 2]).maskedFill(mask, 7);
  expect(filled.dtype).toBe("int32");
  expect(await filled.toArray()).toEqual([7, 2]);
  expect(tensor([true, true]).maskedFill(mask, 0).dtype).toBe("bool");
  expect(codeOf(() => integers([1, 2]).maskedFill(mask, 0.5))).toBe("dtype");
  expect(codeOf(() => integers([1, 2]).maskedFill(integers([1, 0]), 1))).toBe("dtype");
});

test("bits", async () => {
  const x = integers([6, -1]);
  expect(await x.bitwiseAnd(3).toArray()).toEqual([2, 3]);
  expect(await x.bitwiseNot().toArray()).toEqual([-7, 0]);
  expect(await x.bitwiseRightShift(1).toArray()).toEqual([3, -1]);
  const unsigned = tensor([1], { dtype: "uint32" });
  expect(await unsigned.bitwiseNot().toArray()).toEqual([0xfffffffe]);
  expect(await tensor([true]).bitwiseNot().toArray()).toEqual([false]);
  expect(codeOf(() => tensor([1.5]).bitwiseAnd(1))).toBe("dtype");
});

test("special numbers", async () => {
  const x = tensor([NaN, Infinity, -Infinity, 0]);
  expect(await x.isnan().toArray()).toEqual([true, false, false, false]);
  expect(await x.isinf().toArray()).toEqual([false, true, true, false]);
  expect(await x.isfinite().toArray()).toEqual([false, false, false, true]);
  expect(await integers([1]).isfinite().toArray()).toEqual([true]);
  expect(await tensor([-100, 0]).logSigmoid().toArray()).toEqual([-100, Math.fround(-Math.LN2)]);
});

test("what does not fit is refused in a sentence with a code", () => {
  expect(() => ones([2]).add(ones([3]))).toThrow(
    "add: shapes must broadcast (equal or 1 on each axis, aligned at the end), got [2] and [3].",
  );
  expect(codeOf(() => ones([2]).add(ones([3])))).toBe("shape");
  // @ts-expect-error arrays are no operands
  expect(() => ones([2]).mul([1, 2])).toThrow(
    "mul: the operand must be a tensor or a number, got an array. Wrap arrays with tensor().",
  );
  // @ts-expect-error nor is nothing
  expect(codeOf(() => ones([2]).mul(null))).toBe("argument");
  // @ts-expect-error there is no such type
  expect(codeOf(() => ones([2]).cast("float64"))).toBe("dtype");
  // @ts-expect-error there is no such approximation
  expect(codeOf(() => ones([2]).gelu({ approximate: "sinh" }))).toBe("argument");
  expect(codeOf(() => ones([2]).clamp())).toBe("argument");
});
