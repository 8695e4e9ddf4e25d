import { expect, test } from "vitest";
import type { Value } from "../graph/node.js";
import { Storage } from "../graph/storage.js";
import {
  add,
  cast,
  integerDivide,
  maximum,
  multiply,
  power,
  remainder,
  round,
  shiftLeft,
  shiftRight,
} from "../ops/elementwise.js";
import { constant, input, scalar } from "../ops/leaf.js";
import { argmax, max, sum } from "../ops/reduce.js";
import { realizeValues } from "../plan/realize.js";
import type { DataOf, DType } from "../tensor/dtype.js";
import type { ReferenceBuffer } from "./buffer.js";
import { reference } from "./device.js";
import { errorFunction } from "./error-function.js";
import { threefry } from "./threefry.js";

const device = reference();

function leaf(data: DataOf, dtype: DType): Value {
  return input(new Storage(device, data.byteLength, data, null), [data.length], dtype, device);
}

const floats = (...numbers: number[]): Value => leaf(Float32Array.from(numbers), "float32");
const integers = (...numbers: number[]): Value => leaf(Int32Array.from(numbers), "int32");
const naturals = (...numbers: number[]): Value => leaf(Uint32Array.from(numbers), "uint32");

/** The unrounded elements. */
async function compute(value: Value): Promise<number[]> {
  await realizeValues([value], new Set());
  return [...(value.storage!.buffer as ReferenceBuffer).elements(value.dtype)];
}

test("float32 numbers are not rounded until they are read", async () => {
  const third = multiply(floats(1), constant(1 / 3));
  expect(await compute(third)).toEqual([1 / 3]);
  const read = add(third, constant(0));
  await realizeValues([read], new Set([read]));
  expect([...read.storage!.host!]).toEqual([Math.fround(1 / 3)]);
});

test("runtime scalars keep their precision", async () => {
  expect(await compute(add(floats(0), scalar(0.1)))).toEqual([0.1]);
});

test("integers wrap around", async () => {
  const big = 2 ** 31 - 1;
  expect(await compute(add(integers(big), integers(1)))).toEqual([-(2 ** 31)]);
  expect(await compute(multiply(integers(big), integers(big)))).toEqual([1]);
  expect(await compute(sum(integers(big, big), [0]))).toEqual([-2]);
  expect(await compute(add(naturals(2 ** 32 - 1), naturals(2)))).toEqual([1]);
  expect(await compute(multiply(naturals(0x9e3779b9), naturals(0x85ebca6b)))).toEqual([
    Math.imul(0x9e3779b9, 0x85ebca6b) >>> 0,
  ]);
});

test("integer division truncates, remainders follow the divisor, a zero divisor gives 0", async () => {
  const a = integers(7, -7, 7, -7, 5, -(2 ** 31));
  const b = integers(2, 2, -2, -2, 0, -1);
  expect(await compute(integerDivide(a, b))).toEqual([3, -3, -3, 3, 0, -(2 ** 31)]);
  expect(await compute(remainder(a, b))).toEqual([1, 1, -1, -1, 0, 0]);
  expect(await compute(remainder(floats(-1, 5), floats(3, -3)))).toEqual([2, -1]);
});

test("shifts are arithmetic for int32 and logical for uint32", async () => {
  expect(await compute(shiftRight(integers(-8), integers(1)))).toEqual([-4]);
  expect(await compute(shiftRight(naturals(2 ** 31), naturals(31)))).toEqual([1]);
  expect(await compute(shiftLeft(naturals(3), naturals(31)))).toEqual([2 ** 31]);
});

test("casts", async () => {
  const x = floats(1.9, -1.9, NaN, 1e20, -1e20, Infinity);
  expect(await compute(cast(x, "int32"))).toEqual([1, -1, 0, 2 ** 31 - 1, -(2 ** 31), 2 ** 31 - 1]);
  expect(await compute(cast(x, "uint32"))).toEqual([1, 0, 0, 2 ** 32 - 1, 0, 2 ** 32 - 1]);
  expect(await compute(cast(x, "int8"))).toEqual([1, -1, 0, 127, -128, 127]);
  expect(await compute(cast(floats(0, -0, NaN, 2), "bool"))).toEqual([0, 0, 1, 1]);
  expect(await compute(cast(floats(1 / 3, 70000), "float16"))).toEqual([0.333251953125, Infinity]);
  expect(await compute(cast(integers(300, -129), "int8"))).toEqual([44, 127]);
  expect(await compute(cast(integers(-1), "uint32"))).toEqual([2 ** 32 - 1]);
});

test("halves are rounded to even", async () => {
  expect(await compute(round(floats(0.5, 1.5, 2.5, -0.5, -1.5, 2.6)))).toEqual([
    0, 2, 2, -0, -2, 3,
  ]);
});

test("NaN wins in extremes, also as a position", async () => {
  expect(await compute(maximum(floats(NaN, 1), floats(1, NaN)))).toEqual([NaN, NaN]);
  expect(await compute(maximum(floats(-2), floats(-1)))).toEqual([-1]);
  expect(await compute(max(floats(1, NaN, 3), [0]))).toEqual([NaN]);
  expect(await compute(argmax(floats(1, NaN, 3), [0]))).toEqual([1]);
  expect(await compute(argmax(floats(1, 3, 3), [0]))).toEqual([1]);
});

test("powers follow C where JavaScript does not", async () => {
  const result = await compute(power(floats(1, 1, -1, 0), floats(NaN, Infinity, -Infinity, 0)));
  expect(result).toEqual([1, 1, 1, 1]);
});

test.each([
  [0.5, 0.5204998778130465],
  [1, 0.8427007929497149],
  [2, 0.9953222650189527],
  [3, 0.9999779095030014],
  [4, 0.9999999845827421],
])("erf %d", (x, expected) => {
  expect(Math.abs(errorFunction(x) - expected)).toBeLessThan(3e-16);
  expect(errorFunction(-x)).toBe(-errorFunction(x));
});

test("erf keeps signed zeros, infinities and NaN", () => {
  expect(errorFunction(-0)).toBe(-0);
  expect(errorFunction(Infinity)).toBe(1);
  expect(errorFunction(NaN)).toBeNaN();
});

// From the test vectors published with the generator.
test.each([
  [
    [0, 0, 0, 0],
    [0x6b200159, 0x99ba4efe],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0x1cb996fc, 0xbb002be7],
  ],
  [
    [0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3],
    [0xc4923a9c, 0x483df7a0],
  ],
] as const)("threefry %j", ([key0, key1, counter0, counter1], words) => {
  expect(threefry(key0, key1, counter0, counter1)).toEqual(words);
});

test("a released buffer no longer counts", () => {
  const before = device.memory().total;
  const buffer = device.allocate(64);
  expect(device.memory().total).toBe(before + 64);
  buffer.release();
  buffer.release();
  expect(device.memory().total).toBe(before);
});
