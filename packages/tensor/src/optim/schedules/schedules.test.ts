import { beforeAll, describe, expect, test } from "vitest";
import { setDevice } from "../../device/current.js";
import { reference } from "../../reference/device.js";
import { tensor } from "../../tensor/creation.js";
import { codeOf } from "../../testing/index.js";
import {
  AdamW,
  ConstantLR,
  CosineAnnealingLR,
  CosineAnnealingWarmRestarts,
  ExponentialLR,
  LambdaLR,
  LinearLR,
  MultiStepLR,
  OneCycleLR,
  PolynomialLR,
  SequentialLR,
  SGD,
  StepLR,
  WarmupConstantLR,
  WarmupCosineLR,
  WarmupLinearLR,
  type LearningRateSchedule,
} from "../index.js";

beforeAll(() => {
  setDevice(reference());
});

const makeOptimizer = (lr: number = 1): SGD =>
  new SGD([tensor([1], { requiresGrad: true })], { lr, momentum: 0.9 });

/** The rates in the first steps. */
function ratesOf(schedule: LearningRateSchedule, steps: number): number[] {
  const rates: number[] = [];
  for (let i = 0; i < steps; i++) {
    rates.push(schedule.currentRates()[0]!);
    if (i < steps - 1) schedule.step();
  }
  return rates;
}

const cosine = (share: number): number => (1 + Math.cos(Math.PI * share)) / 2;

const cases: [string, (optimizer: SGD) => LearningRateSchedule, number[]][] = [
  ["ConstantLR", (o) => new ConstantLR(o, { factor: 0.5, totalIters: 2 }), [0.5, 0.5, 1, 1]],
  ["LinearLR up", (o) => new LinearLR(o, { startFactor: 0.5, totalIters: 2 }), [0.5, 0.75, 1, 1]],
  [
    "LinearLR down",
    (o) => new LinearLR(o, { startFactor: 1, endFactor: 0, totalIters: 4 }),
    [1, 0.75, 0.5, 0.25, 0, 0],
  ],
  ["StepLR", (o) => new StepLR(o, { stepSize: 2, gamma: 0.5 }), [1, 1, 0.5, 0.5, 0.25]],
  [
    "MultiStepLR",
    (o) => new MultiStepLR(o, { milestones: [1, 3], gamma: 0.5 }),
    [1, 0.5, 0.5, 0.25],
  ],
  [
    "PolynomialLR",
    (o) => new PolynomialLR(o, { totalIters: 4, power: 2 }),
    [1, 9 / 16, 1 / 4, 1 / 16, 0, 0],
  ],
  ["ExponentialLR", (o) => new ExponentialLR(o, { gamma: 0.5 }), [1, 0.5, 0.25]],
  ["LambdaLR", (o) => new LambdaLR(o, (step) => 1 / (1 + step)), [1, 1 / 2, 1 / 3]],
  [
    "CosineAnnealingLR",
    (o) => new CosineAnnealingLR(o, { tMax: 2, etaMin: 0.2 }),
    [1, 0.6, 0.2, 0.6, 1],
  ],
  [
    "CosineAnnealingWarmRestarts",
    (o) => new CosineAnnealingWarmRestarts(o, { t0: 2 }),
    [1, 0.5, 1, 0.5],
  ],
  [
    "CosineAnnealingWarmRestarts with longer periods",
    (o) => new CosineAnnealingWarmRestarts(o, { t0: 1, tMult: 2 }),
    [1, 1, 0.5, 1, cosine(1 / 4), 0.5, cosine(3 / 4), 1],
  ],
  [
    "OneCycleLR",
    (o) =>
      new OneCycleLR(o, {
        maxLr: 1,
        totalSteps: 5,
        pctStart: 0.4,
        divFactor: 2,
        finalDivFactor: 5,
      }),
    [0.5, 1, 0.1 + 0.9 * cosine(1 / 3), 0.1 + 0.9 * cosine(2 / 3), 0.1],
  ],
  [
    "OneCycleLR, linear, in three phases",
    (o) =>
      new OneCycleLR(o, {
        maxLr: 1,
        totalSteps: 10,
        pctStart: 0.3,
        divFactor: 2,
        finalDivFactor: 10,
        annealStrategy: "linear",
        threePhase: true,
      }),
    [0.5, 0.75, 1, 0.75, 0.5, 0.41, 0.32, 0.23, 0.14, 0.05],
  ],
  ["WarmupConstantLR", (o) => new WarmupConstantLR(o, { warmupSteps: 2 }), [0, 0.5, 1, 1]],
  [
    "WarmupLinearLR",
    (o) => new WarmupLinearLR(o, { warmupSteps: 1, totalSteps: 5, endFactor: 0.2 }),
    [0, 1, 0.8, 0.6, 0.4, 0.2, 0.2],
  ],
  [
    "WarmupCosineLR",
    (o) => new WarmupCosineLR(o, { warmupSteps: 2, totalSteps: 4 }),
    [0, 0.5, 1, 0.5, 0, 0],
  ],
  [
    "SequentialLR",
    (o) =>
      new SequentialLR(
        o,
        [
          new LinearLR(o, { startFactor: 0.5, totalIters: 2 }),
          new ConstantLR(o, { factor: 0.1, totalIters: 1 }),
          new ExponentialLR(o, { gamma: 0.5 }),
        ],
        { milestones: [2, 4] },
      ),
    [0.5, 0.75, 0.1, 1, 1, 0.5],
  ],
];

describe("rates", () => {
  test.each(cases)("%s", (_, make, expected) => {
    const rates = ratesOf(make(makeOptimizer()), expected.length);
    rates.forEach((rate, i) => expect(rate).toBeCloseTo(expected[i]!, 12));
  });

  test.each(cases)("%s goes on from a saved state", (_, make, expected) => {
    const schedule = make(makeOptimizer());
    schedule.step();
    schedule.step();
    const state: unknown = JSON.parse(JSON.stringify(schedule.stateDict()));
    const again = make(makeOptimizer());
    again.loadStateDict(state as ReturnType<typeof schedule.stateDict>);
    expect(again.lastStep).toBe(2);
    expect(again.currentRates()).toEqual(schedule.currentRates());
    expect(again.currentRates()[0]).toBeCloseTo(expected[2]!, 12);
  });
});

test("each parameter group keeps its own base rate", () => {
  const optimizer = new SGD(
    [1, 2].map((lr) => ({ params: [tensor([1], { requiresGrad: true })], lr })),
  );
  const schedule = new ExponentialLR(optimizer, { gamma: 0.5 });
  schedule.step();
  expect(schedule.currentRates()).toEqual([0.5, 1]);
  // A second schedule starts from the same rates.
  expect(new LinearLR(optimizer, { startFactor: 0.5 }).currentRates()).toEqual([0.5, 1]);
  expect(schedule.baseRates).toEqual([1, 2]);
});

describe("OneCycleLR", () => {
  test("moves the momentum the other way round", () => {
    const optimizer = makeOptimizer();
    const schedule = new OneCycleLR(optimizer, { maxLr: 1, totalSteps: 5, pctStart: 0.4 });
    const momenta = [optimizer.paramGroups[0]!.momentum];
    for (let i = 0; i < 4; i++) {
      schedule.step();
      momenta.push(optimizer.paramGroups[0]!.momentum);
    }
    expect(momenta.map((momentum) => Number(momentum.toFixed(4)))).toEqual([
      0.95, 0.85, 0.875, 0.925, 0.95,
    ]);
  });

  test("moves β₁ of Adam", () => {
    const optimizer = new AdamW([tensor([1], { requiresGrad: true })]);
    new OneCycleLR(optimizer, { maxLr: 1, totalSteps: 5, maxMomentum: 0.8 });
    expect(optimizer.paramGroups[0]!.betas).toEqual([0.8, 0.999]);
  });

  test("ends after its steps", () => {
    const schedule = new OneCycleLR(makeOptimizer(), { maxLr: 1, totalSteps: 2 });
    schedule.step();
    expect(() => schedule.step()).toThrow("OneCycleLR: the cycle has 2 steps, got step 3.");
  });
});

const refused: [string, () => unknown][] = [
  [
    "StepLR: stepSize must be a whole number of at least 1, got NaN.",
    () => new StepLR(makeOptimizer(), { stepSize: NaN }),
  ],
  [
    "ExponentialLR: gamma must be a finite number of at least 0, got -1.",
    () => new ExponentialLR(makeOptimizer(), { gamma: -1 }),
  ],
  [
    "CosineAnnealingLR: tMax must be a whole number of at least 1, got 1.5.",
    () => new CosineAnnealingLR(makeOptimizer(), { tMax: 1.5 }),
  ],
  [
    "WarmupLinearLR: the warm-up must be shorter than the whole, got 5 of 5 steps.",
    () => new WarmupLinearLR(makeOptimizer(), { warmupSteps: 5, totalSteps: 5 }),
  ],
  [
    "OneCycleLR: pctStart must lie between 0 and 1, got NaN.",
    () => new OneCycleLR(makeOptimizer(), { maxLr: 1, totalSteps: 5, pctStart: NaN }),
  ],
  [
    "SequentialLR: there must be one milestone less than schedules, in order, got [3] for 1 schedules.",
    () => {
      const o = makeOptimizer();
      return new SequentialLR(o, [new ExponentialLR(o, { gamma: 1 })], { milestones: [3] });
    },
  ],
];

test.each(refused)("refuses: %s", (sentence, body) => {
  expect(body).toThrow(sentence);
});

test("a state that does not fit is refused", () => {
  const schedule = new ExponentialLR(makeOptimizer(), { gamma: 0.5 });
  const load = (): unknown => schedule.loadStateDict({ lastStep: 1, baseRates: [] });
  expect(codeOf(load)).toBe("checkpoint");
});

test("a cycle whose rise has no length begins at the top", () => {
  const schedule = new OneCycleLR(makeOptimizer(), { maxLr: 2, totalSteps: 4, pctStart: 0.25 });
  expect(schedule.currentRates()).toEqual([2]);
});
