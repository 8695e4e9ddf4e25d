import { beforeAll, describe, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { Generator, manualSeed } from "../random/index.js";
import { reference } from "../reference/device.js";
import { tensor, zeros } from "../tensor/creation.js";
import type { Tensor } from "../tensor/tensor.js";
import { Conv2d, Embedding, init, Linear, Parameter } from "./index.js";

beforeAll(() => {
  setDevice(reference());
  manualSeed(0);
});

interface Statistics {
  readonly mean: number;
  readonly deviation: number;
  readonly least: number;
  readonly greatest: number;
}

async function statisticsOf(x: Tensor): Promise<Statistics> {
  const numbers = Float64Array.from(await x.data());
  const mean = numbers.reduce((sum, n) => sum + n, 0) / numbers.length;
  const variance = numbers.reduce((sum, n) => sum + (n - mean) ** 2, 0) / numbers.length;
  return {
    mean,
    deviation: Math.sqrt(variance),
    least: numbers.reduce((least, n) => Math.min(least, n), Infinity),
    greatest: numbers.reduce((greatest, n) => Math.max(greatest, n), -Infinity),
  };
}

const weight = (): Parameter => new Parameter(zeros([100, 50, 2]));

describe("evenly distributed numbers", () => {
  const cases: [string, (x: Parameter) => Tensor, number][] = [
    ["uniform", (x) => init.uniform(x, -0.3, 0.3), 0.3],
    ["xavierUniform", (x) => init.xavierUniform(x), Math.sqrt(6 / 300)],
    ["xavierUniform, gain 2", (x) => init.xavierUniform(x, { gain: 2 }), 2 * Math.sqrt(6 / 300)],
    ["kaimingUniform", (x) => init.kaimingUniform(x), Math.sqrt(6 / 100)],
    ["kaimingUniform, slope √5", (x) => init.kaimingUniform(x, { slope: Math.sqrt(5) }), 0.1],
    [
      "kaimingUniform, fanOut, tanh",
      (x) => init.kaimingUniform(x, { mode: "fanOut", nonlinearity: "tanh" }),
      (5 / 3) * Math.sqrt(3 / 200),
    ],
    ["Linear", () => new Linear(100, 100).weight, 0.1],
    ["Linear's bias", () => new Linear(100, 10_000).bias!, 0.1],
    ["Conv2d", () => new Conv2d(8, 100, [3, 4], { groups: 2 }).weight, 1 / Math.sqrt(48)],
  ];
  test.each(cases)("%s", async (_, make, bound) => {
    const { mean, deviation, least, greatest } = await statisticsOf(make(weight()));
    expect(Math.abs(mean)).toBeLessThan(0.03 * bound);
    expect(deviation / (bound / Math.sqrt(3))).toBeCloseTo(1, 1);
    expect(least).toBeGreaterThanOrEqual(-bound);
    expect(least).toBeLessThan(-0.99 * bound);
    expect(greatest).toBeLessThanOrEqual(bound);
    expect(greatest).toBeGreaterThan(0.99 * bound);
  });
});

describe("normally distributed numbers", () => {
  const cases: [string, (x: Parameter) => Tensor, number][] = [
    ["normal", (x) => init.normal(x, 0, 3), 3],
    ["xavierNormal", (x) => init.xavierNormal(x), Math.sqrt(2 / 300)],
    ["kaimingNormal", (x) => init.kaimingNormal(x, { nonlinearity: "relu" }), Math.sqrt(2 / 100)],
    ["Embedding", () => new Embedding(100, 100).weight, 1],
  ];
  test.each(cases)("%s", async (_, make, expected) => {
    const { mean, deviation } = await statisticsOf(make(weight()));
    expect(Math.abs(mean)).toBeLessThan(0.04 * expected);
    expect(deviation / expected).toBeCloseTo(1, 1);
  });
});

test("truncated normal numbers stay within their bounds", async () => {
  const x = init.truncNormal(weight(), { mean: 1, std: 2, low: 0, high: 2 });
  const { mean, least, greatest } = await statisticsOf(x);
  expect(mean).toBeCloseTo(1, 1);
  expect(least).toBeGreaterThanOrEqual(0);
  expect(greatest).toBeLessThanOrEqual(2);
});

test("constants", async () => {
  const matrix = new Parameter(zeros([2, 3]));
  expect(await init.ones(matrix).toArray()).toEqual([
    [1, 1, 1],
    [1, 1, 1],
  ]);
  expect(await init.constant(matrix, 0.5).sum().item()).toBe(3);
  expect(await init.eye(matrix).toArray()).toEqual([
    [1, 0, 0],
    [0, 1, 0],
  ]);
  expect(await init.zeros(matrix).sum().item()).toBe(0);
  expect(matrix.requiresGrad).toBe(true);
});

test.each([
  [[3, 7], 1],
  [[7, 3], 1],
  [[4, 2, 3], 2],
])("an orthogonal tensor of shape %j with gain %d", async (shape, gain) => {
  const x = init.orthogonal(new Parameter(zeros(shape)), { gain });
  const matrix = x.reshape([shape[0]!, -1]);
  const isWide = matrix.shape[0]! <= matrix.shape[1]!;
  const product = isWide ? matrix.matmul(matrix.t()) : matrix.t().matmul(matrix);
  const numbers = await product.data();
  const size = product.shape[0]!;
  numbers.forEach((n, i) => {
    expect(n).toBeCloseTo(i % (size + 1) === 0 ? gain ** 2 : 0, 5);
  });
});

test("a generator repeats the numbers", async () => {
  const x = new Parameter(zeros([5]));
  const first = await init.normal(x, 0, 1, { generator: new Generator(3) }).data();
  const second = await init.normal(x, 0, 1, { generator: new Generator(3) }).data();
  expect(second).toEqual(first);
});

test("gains", () => {
  expect(init.calculateGain("relu")).toBe(Math.SQRT2);
  expect(init.calculateGain("leakyRelu", 1)).toBe(1);
  expect(init.calculateGain("tanh")).toBe(5 / 3);
  expect(() => init.calculateGain("nothing" as "tanh")).toThrow(
    'calculateGain: the nonlinearity must be one of "linear"',
  );
});

test("vectors have no fans", () => {
  expect(() => init.xavierUniform(tensor([1, 2]))).toThrow(
    "calculateFans: the weight must have at least the axes [out, in], got [2].",
  );
});
