import { describe, expect, it } from "vitest";
import type { V128 } from "../assembler/index.js";
import {
  cos,
  erf,
  exp,
  expm1,
  log,
  log1p,
  type MathContext,
  power,
  sigmoid,
  sin,
  tanh,
} from "./index.js";
import {
  allMagnitudes,
  interval,
  largestUlps,
  relaxedForms,
  runFloats,
} from "../../../test/wasm/run-vector.js";

/** The error function in float64: its series, and its continued fraction for the tail. */
function exactErf(x: number): number {
  const a = Math.abs(x);
  const sign = x < 0 || Object.is(x, -0) ? -1 : 1;
  if (a > 6) return sign;
  if (a < 2.5 || Number.isNaN(a)) {
    let [term, sum] = [a, a];
    for (let k = 1; k < 80; k++) {
      term *= (-a * a) / k;
      sum += term / (2 * k + 1);
    }
    return (sign * sum * 2) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let k = 120; k > 0; k--) fraction = k / 2 / (a + fraction);
  return sign * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

interface Case {
  readonly code: (c: MathContext, x: V128) => V128;
  readonly exact: (x: number) => number;
  /** Largest error in units of the last place (2 ulp ≈ 2.4e-7 relative at worst). */
  readonly ulps: number;
  /** Intervals that are looked at closely. */
  readonly intervals: readonly (readonly [number, number])[];
}

const cases: Record<string, Case> = {
  exp: {
    code: exp,
    exact: Math.exp,
    ulps: 1.1,
    intervals: [
      [-104, 90],
      [-1, 1],
    ],
  },
  expm1: {
    code: expm1,
    exact: Math.expm1,
    ulps: 1.6,
    intervals: [
      [-20, 90],
      [-1, 1],
    ],
  },
  log: {
    code: log,
    exact: Math.log,
    ulps: 1,
    intervals: [
      [0, 4],
      [0.99, 1.01],
    ],
  },
  log1p: {
    code: log1p,
    exact: Math.log1p,
    ulps: 1,
    intervals: [
      [-1.1, 4],
      [-0.01, 0.01],
    ],
  },
  sigmoid: {
    code: sigmoid,
    exact: (x) => 1 / (1 + Math.exp(-x)),
    ulps: 2.5,
    intervals: [
      [-105, 40],
      [-3, 3],
    ],
  },
  tanh: {
    code: tanh,
    exact: Math.tanh,
    ulps: 3,
    intervals: [
      [-12, 12],
      [-0.01, 0.01],
    ],
  },
  erf: {
    code: erf,
    exact: exactErf,
    ulps: 7,
    intervals: [
      [-5, 5],
      [-0.01, 0.01],
    ],
  },
  sin: {
    code: sin,
    exact: Math.sin,
    ulps: 2.1,
    intervals: [
      [-10, 10],
      [-1e5, 1e5],
      [2 ** 27, 2 ** 29],
    ],
  },
  cos: {
    code: cos,
    exact: Math.cos,
    ulps: 2.1,
    intervals: [
      [-10, 10],
      [-1e5, 1e5],
      [2 ** 27, 2 ** 29],
    ],
  },
};

describe.each(Object.entries(cases))("%s", (_, { code, exact, ulps, intervals }) => {
  it.each(relaxedForms)(`is within ${ulps} ulp everywhere (relaxed: %s)`, (relaxed) => {
    const inputs = [
      allMagnitudes(200_003),
      ...intervals.map(([from, to]) => interval(from, to, 100_001)),
    ];
    for (const x of inputs) {
      const worst = largestUlps([x], runFloats(code, [x], relaxed), exact);
      expect(worst.ulps, JSON.stringify(worst)).toBeLessThanOrEqual(ulps);
    }
  });
});

describe("bounds", () => {
  it("keeps tanh and erf within ±1, and sigmoid within 0 and 1", () => {
    const x = interval(-20, 20, 100_003);
    for (const code of [tanh, erf, sigmoid]) {
      expect(runFloats(code, [x]).every((value) => Math.abs(value) <= 1)).toBe(true);
    }
  });
});

/** `Math.pow` but for what C has otherwise. */
function exactPower(a: number, b: number): number {
  return a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b;
}

describe("power", () => {
  it.each(relaxedForms)("is within 1.3 ulp everywhere (relaxed: %s)", (relaxed) => {
    const count = 300_007;
    let state = 1;
    const random = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32;
    };
    const near = (from: number, to: number): Float32Array =>
      Float32Array.from({ length: count }, () => from + (to - from) * random());
    const shuffled = allMagnitudes(count).map((_, i, all) => all[(i * 7919) % count]!);
    const integers = Float32Array.from({ length: count }, (_, i) => (i % 41) - 20);
    const pairs: [Float32Array, Float32Array][] = [
      [near(0, 3), near(-80, 80)],
      [near(0.999, 1.001), near(-80000, 80000)],
      [near(-10, 10), integers],
      [allMagnitudes(count), near(-3, 3)],
      [allMagnitudes(count), shuffled],
      [allMagnitudes(count), integers],
    ];
    for (const pair of pairs) {
      const worst = largestUlps(pair, runFloats(power, pair, relaxed), exactPower);
      expect(worst.ulps, JSON.stringify(worst)).toBeLessThanOrEqual(1.3);
    }
  });

  it("follows C for special numbers", () => {
    const numbers = [
      0,
      -0,
      1,
      -1,
      0.5,
      -0.5,
      2,
      -2,
      3,
      -3,
      1e30,
      2 ** 24,
      Infinity,
      -Infinity,
      NaN,
    ];
    const x = Float32Array.from(numbers.flatMap((a) => numbers.map(() => a)));
    const y = Float32Array.from(numbers.flatMap(() => numbers));
    const result = runFloats(power, [x, y]);
    for (let i = 0; i < x.length; i++) {
      expect(result[i], `${x[i]} ** ${y[i]}`).toBe(Math.fround(exactPower(x[i]!, y[i]!)));
    }
  });
});
