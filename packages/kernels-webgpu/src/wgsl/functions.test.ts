import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ScalarFunction } from "@x/tensor/device";
import { referenceData, referenceTensor } from "@x/tensor/testing";
import { allMagnitudes, interval, largestUlps } from "../../test/accuracy.js";
import { runExpression } from "../../test/run-expression.js";
import { requestGpu } from "../adapter/request.js";
import { applyFunction } from "./functions.js";

let device: GPUDevice;
beforeAll(async () => {
  ({ device } = await requestGpu());
});
afterAll(() => device.destroy());

/** Applies a scalar function of floats; `constant` is what the second operand is known to be. */
async function runFloats(
  name: ScalarFunction,
  operands: readonly Float32Array[],
  constant?: number,
): Promise<Float32Array> {
  const dtype = "float32";
  const bits = await runExpression(
    device,
    (codes, helpers) => {
      const constants = [undefined, constant];
      const described = codes.map((code, i) => ({ code, dtype, constant: constants[i] }) as const);
      return applyFunction(name, described, dtype, helpers);
    },
    operands,
    operands.map(() => dtype),
    dtype,
  );
  return new Float32Array(bits.buffer);
}

type Exact = Parameters<typeof largestUlps>[2];

const each =
  (exact: (...operands: number[]) => number): Exact =>
  (...inputs) =>
    Float64Array.from(inputs[0]!, (_, i) => exact(...inputs.map((input) => input[i]!)));

async function expectAccuracy(
  name: ScalarFunction,
  inputs: readonly Float32Array[],
  exact: Exact,
  ulps: number,
  constant?: number,
): Promise<void> {
  const worst = await largestUlps(inputs, await runFloats(name, inputs, constant), exact);
  expect(worst.ulps, `${name}: ${JSON.stringify(worst)}`).toBeLessThanOrEqual(ulps);
}

interface Case {
  readonly exact: Exact;
  /** Largest error in units of the last place (2 ulp ≈ 2.4e-7 relative at worst). */
  readonly ulps: number;
  /** Intervals that are looked at closely. */
  readonly intervals: readonly (readonly [number, number])[];
}

const erf: Exact = (x) => referenceData(referenceTensor(Float64Array.from(x), [x.length]).erf());
const isTie = (x: number): boolean => x - Math.floor(x) === 0.5;
const near = [[-10, 10]] as const;
const exactly = (exact: (x: number) => number): Case => ({
  exact: each(exact),
  ulps: 0,
  intervals: [[-64, 64]],
});

const cases: Partial<Record<ScalarFunction, Case>> = {
  exp: {
    exact: each(Math.exp),
    ulps: 1.1,
    intervals: [
      [-88, 90],
      [-1, 1],
    ],
  },
  expm1: {
    exact: each(Math.expm1),
    ulps: 1.8,
    intervals: [
      [-20, 90],
      [-1, 1],
    ],
  },
  log: {
    exact: each(Math.log),
    ulps: 1,
    intervals: [
      [0, 4],
      [0.99, 1.01],
    ],
  },
  log1p: {
    exact: each(Math.log1p),
    ulps: 1.6,
    intervals: [
      [-1.1, 4],
      [-0.01, 0.01],
    ],
  },
  sigmoid: {
    exact: each((x) => 1 / (1 + Math.exp(-x))),
    ulps: 2.5,
    intervals: [
      [-88, 40],
      [-3, 3],
    ],
  },
  tanh: {
    exact: each(Math.tanh),
    ulps: 3,
    intervals: [
      [-12, 12],
      [-0.01, 0.01],
    ],
  },
  erf: {
    exact: erf,
    ulps: 7,
    intervals: [
      [-5, 5],
      [-0.01, 0.01],
    ],
  },
  sin: {
    exact: each(Math.sin),
    ulps: 3,
    intervals: [...near, [-1e5, 1e5], [2 ** 27, 2 ** 29]],
  },
  cos: {
    exact: each(Math.cos),
    ulps: 3,
    intervals: [...near, [-1e5, 1e5], [2 ** 27, 2 ** 29]],
  },
  sqrt: { exact: each(Math.sqrt), ulps: 2, intervals: near },
  negate: exactly((x) => -x),
  abs: exactly(Math.abs),
  sign: exactly(Math.sign),
  floor: exactly(Math.floor),
  ceil: exactly(Math.ceil),
  trunc: exactly(Math.trunc),
  round: exactly((x) => (isTie(x) ? 2 * Math.round(x / 2) : Math.round(x))),
};

describe.each(Object.entries(cases))("%s", (name, { exact, ulps, intervals }) => {
  it(`is within ${ulps} ulp everywhere`, async () => {
    const inputs = [
      allMagnitudes(100_003),
      // An odd number of steps to the power of two: ties between integers are among them.
      ...intervals.map(([from, to]) => interval(from, to, 65_537)),
    ];
    for (const x of inputs) await expectAccuracy(name as ScalarFunction, [x], exact, ulps);
  });
});

describe("bounds", () => {
  it("keeps tanh and erf within ±1, and sigmoid within 0 and 1", async () => {
    const x = interval(-20, 20, 100_003);
    const isBetween = (from: number) => (value: number) => value >= from && value <= 1;
    expect((await runFloats("tanh", [x])).every(isBetween(-1))).toBe(true);
    expect((await runFloats("erf", [x])).every(isBetween(-1))).toBe(true);
    expect((await runFloats("sigmoid", [x])).every(isBetween(0))).toBe(true);
  });
});

/** Every number with every other. */
function pairsOf(numbers: readonly number[]): [Float32Array, Float32Array] {
  return [
    Float32Array.from(numbers.flatMap((a) => numbers.map(() => a))),
    Float32Array.from(numbers.flatMap(() => numbers)),
  ];
}

const special = [
  ...[0, 1, 0.5, 2, 3, 1e30, 2 ** 24, Infinity].flatMap((x) => [x, -x]),
  ...[NaN, 1.5, 100],
];

describe("arithmetic of two floats", () => {
  const scramble = (x: Float32Array): Float32Array => x.map((_, i) => x[(i * 7919) % x.length]!);
  const x = allMagnitudes(50_021);
  const arithmetic: [ScalarFunction, (a: number, b: number) => number, number][] = [
    ["add", (a, b) => a + b, 0.5],
    ["subtract", (a, b) => a - b, 0.5],
    ["multiply", (a, b) => a * b, 0.5],
    // As the standard asks of implementations.
    ["divide", (a, b) => a / b, 2.5],
  ];

  it.each(arithmetic)("%s agrees with float64", async (name, exact, ulps) => {
    const normal = x.map((value) => (Math.abs(value) < 2 ** -60 ? 1 + value : value));
    await expectAccuracy(name, [normal, scramble(normal)], each(exact), ulps);
    await expectAccuracy(name, pairsOf(special), each(exact), ulps);
  });

  it.each([
    ["maximum", Math.max],
    ["minimum", Math.min],
  ] as const)("%s propagates NaN and tells zeros apart", async (name, exact) => {
    await expectAccuracy(name, [x, scramble(x)], each(exact), 0);
    await expectAccuracy(name, pairsOf(special), each(exact), 0);
  });

  it("remainder is exact, with the sign of the divisor", async () => {
    const exact = each((a, b) => {
      const rest = a % b;
      return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
    });
    // Remainders of these are no subnormal numbers.
    const a = x.map((value) => (Math.abs(value) < 2 ** -100 ? value * 2 ** 100 : value));
    const close = a.map((value, i) => value * ((i % 1000) / 100 - 5));
    for (const b of [close, scramble(a), a.map(() => 3), a.map(() => -0.1)]) {
      // Equal but for rounding to float32.
      await expectAccuracy("remainder", [a, b], exact, 0.5);
    }
    await expectAccuracy("remainder", pairsOf(special), exact, 0);
  });
});

/** `Math.pow` but for what C has otherwise. */
const exactPower = each((a, b) => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b));

describe("power", () => {
  it("is within 2 ulp everywhere", async () => {
    const count = 60_013;
    let state = 1;
    const random = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32;
    };
    const between = (from: number, to: number): Float32Array =>
      Float32Array.from({ length: count }, () => from + (to - from) * random());
    const all = allMagnitudes(count);
    const shuffled = all.map((_, i) => all[(i * 7919) % count]!);
    const integers = Float32Array.from({ length: count }, (_, i) => (i % 41) - 20);
    const pairs: [Float32Array, Float32Array][] = [
      [between(0, 3), between(-80, 80)],
      [between(0.999, 1.001), between(-80000, 80000)],
      [between(0.99999, 1.00001), between(-8e6, 8e6)],
      [between(-10, 10), integers],
      [all, between(-3, 3)],
      [all, shuffled],
      [all, integers],
    ];
    for (const pair of pairs) await expectAccuracy("power", pair, exactPower, 2);
  });

  it("follows C for special numbers", async () => {
    await expectAccuracy("power", pairsOf(special), exactPower, 1);
  });

  it.each([-2, -1, -0.5, 0.5, 1, 2, 3, 4])("is short for the constant %d", async (exponent) => {
    const x = Float32Array.from([...interval(-1000, 1000, 10_007), ...special]);
    await expectAccuracy("power", [x, x.map(() => exponent)], exactPower, 4.5, exponent);
  });
});
