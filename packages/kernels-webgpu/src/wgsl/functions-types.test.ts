import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DType, getDevice, reference, setDevice } from "@x/tensor";
import type { ScalarFunction } from "@x/tensor/device";
import { Generator, rand } from "@x/tensor/random";
import { allMagnitudes } from "../../test/accuracy.js";
import { runExpression, type Words } from "../../test/run-expression.js";
import { requestGpu } from "../adapter/request.js";
import { applyFunction, constantCode } from "./functions.js";

let device: GPUDevice;
beforeAll(async () => {
  ({ device } = await requestGpu());
});
afterAll(() => device.destroy());

/** The words of a scalar function's results. */
async function run(
  name: ScalarFunction,
  operands: readonly Words[],
  types: readonly DType[],
  result: DType,
): Promise<Uint32Array> {
  return runExpression(
    device,
    (codes, helpers) => {
      const described = codes.map((code, position) => ({ code, dtype: types[position]! }));
      return applyFunction(name, described, result, helpers);
    },
    operands,
    types,
    result,
  );
}

const numbers = [
  ...[0, 1, -1, 2, -2, 3, 7, -7, 31, 32, 33, 100, 65535, 65536, 123456789, -987654321],
  ...[2 ** 31 - 1, -(2 ** 31), -(2 ** 31) + 1],
];
const pairs = numbers.flatMap((a) => numbers.map((b) => [a, b] as const));
const first = Int32Array.from(pairs, ([a]) => a);
const second = Int32Array.from(pairs, ([, b]) => b);

type Binary = (a: number, b: number) => number;

const moved = (rest: number, b: number): number =>
  rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
const integerFunctions: Partial<Record<ScalarFunction, Binary>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: Math.imul,
  divide: (a, b) => (b === 0 ? 0 : Math.trunc(a / b)),
  remainder: (a, b) => (b === 0 ? 0 : moved(a % b, b)),
  maximum: Math.max,
  minimum: Math.min,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shiftLeft: (a, b) => a << b,
};
const comparisons: Partial<Record<ScalarFunction, Binary>> = {
  equal: (a, b) => Number(a === b),
  notEqual: (a, b) => Number(a !== b),
  less: (a, b) => Number(a < b),
  lessEqual: (a, b) => Number(a <= b),
};
const integerUnary: Partial<Record<ScalarFunction, (a: number) => number>> = {
  negate: (a) => -a,
  abs: Math.abs,
  sign: Math.sign,
  floor: (a) => a,
  ceil: (a) => a,
  round: (a) => a,
  trunc: (a) => a,
};

describe.each(["int32", "uint32"] as const)("%s", (dtype) => {
  const value = (x: number): number => (dtype === "int32" ? x | 0 : x >>> 0);

  const binary = {
    ...integerFunctions,
    shiftRight: (a: number, b: number) => (dtype === "int32" ? a >> b : a >>> b),
  };
  it.each(Object.entries(binary))("%s", async (name, exact) => {
    const result = await run(name as ScalarFunction, [first, second], [dtype, dtype], dtype);
    const expected = pairs.map(([a, b]) => exact(value(a), value(b)) >>> 0);
    expect([...result]).toEqual(expected);
  });

  it.each(Object.entries(comparisons))("%s", async (name, exact) => {
    const result = await run(name as ScalarFunction, [first, second], [dtype, dtype], "bool");
    expect([...result]).toEqual(pairs.map(([a, b]) => exact(value(a), value(b))));
  });

  it.each(Object.entries(integerUnary))("%s", async (name, exact) => {
    const result = await run(name as ScalarFunction, [first], [dtype], dtype);
    expect([...result]).toEqual(pairs.map(([a]) => exact(value(a)) >>> 0));
  });
});

describe("bool", () => {
  const a = Uint32Array.of(0, 0, 1, 1);
  const b = Uint32Array.of(0, 1, 0, 1);
  const table: [ScalarFunction, number[]][] = [
    ["and", [0, 0, 0, 1]],
    ["or", [0, 1, 1, 1]],
    ["xor", [0, 1, 1, 0]],
    ["add", [0, 1, 1, 1]],
    ["multiply", [0, 0, 0, 1]],
    ["maximum", [0, 1, 1, 1]],
    ["minimum", [0, 0, 0, 1]],
    ["equal", [1, 0, 0, 1]],
    ["notEqual", [0, 1, 1, 0]],
    ["less", [0, 1, 0, 0]],
    ["lessEqual", [1, 1, 0, 1]],
  ];
  it.each(table)("%s", async (name, expected) => {
    expect([...(await run(name, [a, b], ["bool", "bool"], "bool"))]).toEqual(expected);
  });

  it("not", async () => {
    expect([...(await run("not", [a], ["bool"], "bool"))]).toEqual([1, 1, 0, 0]);
  });

  it("refuses what has no meaning", async () => {
    await expect(run("sqrt", [a], ["bool"], "bool")).rejects.toThrow("got sqrt of bool");
  });
});

describe("float32", () => {
  const special = [0, -0, 1, -1, 3, Infinity, -Infinity, NaN];
  const x = Float32Array.from(special.flatMap((a) => special.map(() => a)));
  const y = Float32Array.from(special.flatMap(() => special));

  it.each(Object.entries(comparisons))("%s", async (name, exact) => {
    const result = await run(name as ScalarFunction, [x, y], ["float32", "float32"], "bool");
    expect([...result]).toEqual(Array.from(x, (a, i) => exact(a, y[i]!)));
    const self = await runExpression(
      device,
      ([code], helpers) => {
        const operand = { code: code!, dtype: "float32" } as const;
        return applyFunction(name as ScalarFunction, [operand, operand], "bool", helpers);
      },
      [x],
      ["float32"],
      "bool",
    );
    expect([...self]).toEqual(Array.from(x, (a) => exact(a, a)));
  });

  it("where", async () => {
    const condition = Uint32Array.from(x, (_, i) => i & 1);
    const bits = await run("where", [condition, x, y], ["bool", "float32", "float32"], "float32");
    expect(new Float32Array(bits.buffer)).toEqual(x.map((a, i) => (i & 1 ? a : y[i]!)));
  });
});

describe("threefry", () => {
  const types: DType[] = ["uint32", "uint32", "uint32", "uint32"];

  it("gives the known answers of Random123", async () => {
    const operands = [
      Uint32Array.of(0, 0xffffffff, 0x13198a2e),
      Uint32Array.of(0, 0xffffffff, 0x03707344),
      Uint32Array.of(0, 0xffffffff, 0x243f6a88),
      Uint32Array.of(0, 0xffffffff, 0x85a308d3),
    ];
    const words0 = await run("threefry0", operands, types, "uint32");
    const words1 = await run("threefry1", operands, types, "uint32");
    expect([...words0]).toEqual([0x6b200159, 0x1cb996fc, 0xc4923a9c]);
    expect([...words1]).toEqual([0x99ba4efe, 0xbb002be7, 0x483df7a0]);
  });

  it("gives the numbers of the reference device", async () => {
    const count = 5000;
    const before = getDevice();
    setDevice(reference());
    const expected = await rand([count], { generator: new Generator(2 ** 40 + 3) }).data();
    setDevice(before);
    const same = (word: number): Uint32Array => new Uint32Array(count).fill(word);
    const operands = [
      same(3),
      same(256),
      Uint32Array.from({ length: count }, (_, i) => i),
      same(0),
    ];
    const words = await run("threefry0", operands, types, "uint32");
    expect(Float32Array.from(words, (word) => (word >>> 8) * 2 ** -24)).toEqual(expected);
  });
});

describe("casts", () => {
  const x = Float32Array.from([
    ...allMagnitudes(20_011),
    ...[0.5, -0.5, 0.99, 127.9, 128, -128.9, -129, 2 ** 31, 2 ** 31 - 128, 2 ** 32, 2 ** 32 - 256],
    ...[-(2 ** 31), -(2 ** 31) - 256, -0.999, 1e30],
  ]);
  const saturated = (low: number, high: number) => (value: number) =>
    Number.isNaN(value) ? 0 : Math.min(Math.max(Math.trunc(value), low), high) >>> 0;

  it.each([
    ["int32", -(2 ** 31), 2 ** 31 - 1],
    ["uint32", 0, 2 ** 32 - 1],
    ["int8", -128, 127],
  ] as const)("float32 to %s saturates, NaN becomes 0", async (dtype, low, high) => {
    const result = await run("cast", [x], ["float32"], dtype);
    expect([...result]).toEqual(Array.from(x, saturated(low, high)));
  });

  it("to bool is 1 for all but zeros", async () => {
    expect([...(await run("cast", [x], ["float32"], "bool"))]).toEqual(
      Array.from(x, (value) => Number(value !== 0)),
    );
    expect([...(await run("cast", [first], ["int32"], "bool"))]).toEqual(
      Array.from(first, (value) => Number(value !== 0)),
    );
  });

  it("of integers keep the low bits, and round to float32", async () => {
    const asInt8 = await run("cast", [first], ["uint32"], "int8");
    expect(new Int32Array(asInt8.buffer)).toEqual(Int32Array.from(Int8Array.from(first)));
    expect(new Int32Array((await run("cast", [first], ["uint32"], "int32")).buffer)).toEqual(first);
    for (const [dtype, value] of [
      ["int32", (word: number) => word],
      ["uint32", (word: number) => word >>> 0],
    ] as const) {
      const floats = await run("cast", [first], [dtype], "float32");
      expect(new Float32Array(floats.buffer)).toEqual(Float32Array.from(first, value));
    }
  });

  it("of bool give 0 and 1", async () => {
    const condition = Uint32Array.of(0, 1);
    const one = await run("cast", [condition], ["bool"], "float32");
    expect([...new Float32Array(one.buffer)]).toEqual([0, 1]);
    expect([...(await run("cast", [condition], ["bool"], "uint32"))]).toEqual([0, 1]);
    expect([...(await run("cast", [condition], ["bool"], "int8"))]).toEqual([0, 1]);
  });
});

/** The number that float16 bits stand for. */
function float16Value(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

describe("float16", () => {
  const widen = (half: Uint32Array): Promise<Uint32Array> =>
    runExpression(
      device,
      ([code], helpers) => {
        helpers.use("halfToFloat");
        return `halfToFloat(${code})`;
      },
      [half],
      ["uint32"],
      "float32",
    );
  const narrow = (x: Float32Array): Promise<Uint32Array> =>
    runExpression(
      device,
      ([code], helpers) => {
        helpers.use("floatToHalf");
        return `floatToHalf(${code})`;
      },
      [x],
      ["float32"],
      "uint32",
    );
  const all = Uint32Array.from({ length: 65536 }, (_, i) => i);

  it("widens every number exactly and narrows it back", async () => {
    const wide = new Float32Array((await widen(all)).buffer);
    expect(wide).toEqual(Float32Array.from(all, float16Value));
    const back = await narrow(wide);
    const kept = all.filter((bits) => !Number.isNaN(float16Value(bits)));
    expect([...kept].every((bits) => back[bits] === bits)).toBe(true);
    const lost = all.filter((bits) => Number.isNaN(float16Value(bits)));
    expect([...lost].every((bits) => Number.isNaN(float16Value(back[bits]!)))).toBe(true);
  });

  it("rounds halves to even, small numbers to subnormals, large ones to infinity", async () => {
    const x: number[] = [2 ** -149, 1e30, Infinity, -Infinity];
    const expected: number[] = [0, 0x7c00, 0x7c00, 0xfc00];
    for (let bits = 0; bits < 0x7c00; bits++) {
      const low = float16Value(bits);
      const high = bits === 0x7bff ? 65536 : float16Value(bits + 1);
      const middle = (low + high) / 2;
      const even = bits & 1 ? bits + 1 : bits;
      const step = middle * 2 ** -23;
      x.push(middle, middle - step, middle + step, -middle);
      expected.push(even, bits, bits + 1, even | 0x8000);
    }
    expect(await narrow(Float32Array.from(x))).toEqual(Uint32Array.from(expected));
    const cast = await run("cast", [Float32Array.from(x)], ["float32"], "float16");
    expect(new Float32Array(cast.buffer)).toEqual(Float32Array.from(expected, float16Value));
  });
});

describe("constants", () => {
  const floats = [
    ...[0, 1, -1, 0.1, -0.1, 1e30, -1e-30, 16777216, 3.4028234663852886e38, 2 ** -126],
    ...[-0, NaN, Infinity, -Infinity, 2 ** -149, 1e300],
  ];
  const dispatch = (value: number, dtype: DType): Promise<Uint32Array> =>
    runExpression(
      device,
      (_, helpers) => constantCode(value, dtype, helpers),
      [Uint32Array.of(0)],
      ["uint32"],
      dtype,
    );

  it.each(floats)("%d is the nearest float32", async (value) => {
    const bits = await dispatch(value, "float32");
    expect(bits).toEqual(new Uint32Array(Float32Array.of(value).buffer));
  });

  it.each([0, 1, -1, 2 ** 31 - 1, -(2 ** 31)])("%d is an integer", async (value) => {
    expect(await dispatch(value, "int32")).toEqual(Uint32Array.of(value));
    expect(await dispatch(value, "uint32")).toEqual(Uint32Array.of(value));
    expect(await dispatch(value, "bool")).toEqual(Uint32Array.of(Number(value !== 0)));
  });
});
