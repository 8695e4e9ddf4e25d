/** Every module, optimizer and schedule against numbers that are none, or out of their range. */

import { expect, test } from "vitest";
import * as nn from "../src/nn/index.js";
import * as optim from "../src/optim/index.js";
import { ones } from "../src/tensor/creation.js";
import { failureOf } from "../src/testing/index.js";

type Numbers = Readonly<Record<string, readonly unknown[]>>;
type Make = (numbers: Record<string, never>) => unknown;

const sizes = [NaN, 0, -1, 1.5, Infinity, "3"];
const shares = [NaN, -0.1, 1.5, Infinity];
const amounts = [NaN, -1, Infinity];
const numbers = [NaN, Infinity];

const optimizer = new optim.SGD([new nn.Parameter(ones([1]))], { lr: 1, momentum: 0.5 });
const reductions = { reduction: ["max", NaN] };
const layer = { dModel: 4, nHead: 2 };
const layerNumbers = {
  dModel: sizes,
  nHead: sizes,
  dimFeedforward: sizes,
  dropout: shares,
  layerNormEps: amounts,
};
const convolution = {
  inChannels: sizes,
  outChannels: sizes,
  kernelSize: [...sizes, [3, NaN], [1, 2, 3]],
  stride: [...sizes, [1, NaN], [1, 2, 3]],
  padding: [NaN, -1, 0.5, "full"],
  dilation: sizes,
  groups: sizes,
};
const warmup = { warmupSteps: [NaN, -1, 0.5], totalSteps: sizes, endFactor: amounts };
const adam = {
  lr: amounts,
  betas: [[NaN, 0.9], [0.9, 1], [-1, 0.9], [0.9], 0.9],
  eps: amounts,
  weightDecay: amounts,
};

/** For each class: a call that gets valid numbers but one, and the wrong values of each number. */
const cases: Readonly<Record<string, readonly [Make, Numbers]>> = {
  LeakyReLU: [({ slope }) => new nn.LeakyReLU(slope), { slope: numbers }],
  ELU: [({ alpha }) => new nn.ELU(alpha), { alpha: numbers }],
  GELU: [(given) => new nn.GELU(given), { approximate: ["erf", 1] }],
  Softplus: [(given) => new nn.Softplus(given), { beta: [0, ...amounts], threshold: numbers }],
  Softmax: [({ dim }) => new nn.Softmax(dim), { dim: [NaN, 0.5] }],
  LogSoftmax: [({ dim }) => new nn.LogSoftmax(dim), { dim: [NaN, 0.5] }],
  Conv1d: [
    ({ inChannels = 1, outChannels = 1, kernelSize = 1, ...rest }) =>
      new nn.Conv1d(inChannels, outChannels, kernelSize, rest),
    convolution,
  ],
  Conv2d: [
    ({ inChannels = 1, outChannels = 1, kernelSize = 1, ...rest }) =>
      new nn.Conv2d(inChannels, outChannels, kernelSize, rest),
    convolution,
  ],
  Dropout: [({ p }) => new nn.Dropout(p), { p: shares }],
  Embedding: [
    ({ rows = 3, size = 2, ...rest }) => new nn.Embedding(rows, size, rest),
    { rows: sizes, size: sizes, paddingIdx: [NaN, 3, -4, 0.5] },
  ],
  Linear: [({ from = 1, to = 1 }) => new nn.Linear(from, to), { from: sizes, to: sizes }],
  BCELoss: [(given) => new nn.BCELoss(given), reductions],
  BCEWithLogitsLoss: [(given) => new nn.BCEWithLogitsLoss(given), reductions],
  CrossEntropyLoss: [
    (given) => new nn.CrossEntropyLoss(given),
    { ...reductions, labelSmoothing: shares, ignoreIndex: [NaN, 0.5] },
  ],
  HuberLoss: [(given) => new nn.HuberLoss(given), { ...reductions, delta: [0, ...amounts] }],
  KLDivLoss: [(given) => new nn.KLDivLoss(given), reductions],
  L1Loss: [(given) => new nn.L1Loss(given), reductions],
  MSELoss: [(given) => new nn.MSELoss(given), reductions],
  NLLLoss: [(given) => new nn.NLLLoss(given), { ...reductions, ignoreIndex: [NaN, 0.5] }],
  SmoothL1Loss: [(given) => new nn.SmoothL1Loss(given), { ...reductions, beta: amounts }],
  MultiheadAttention: [
    ({ embedDim = 4, numHeads = 2, ...rest }) =>
      new nn.MultiheadAttention(embedDim, numHeads, rest),
    { embedDim: sizes, numHeads: [...sizes, 3], kdim: sizes, vdim: sizes, dropout: shares },
  ],
  BatchNorm1d: [
    ({ size = 2, ...rest }) => new nn.BatchNorm1d(size, rest),
    { size: sizes, eps: amounts, momentum: shares },
  ],
  LayerNorm: [
    ({ shape = 2, ...rest }) => new nn.LayerNorm(shape, rest),
    { shape: [...sizes, [], [2, NaN]], eps: amounts },
  ],
  RMSNorm: [
    ({ shape = 2, ...rest }) => new nn.RMSNorm(shape, rest),
    { shape: [...sizes, [], [2, NaN]], eps: amounts },
  ],
  LearnedPositionalEncoding: [
    ({ length = 2, size = 2 }) => new nn.LearnedPositionalEncoding(length, size),
    { length: sizes, size: sizes },
  ],
  SinusoidalPositionalEncoding: [
    ({ size = 2, ...rest }) => new nn.SinusoidalPositionalEncoding(size, rest),
    { size: sizes, base: [0, ...amounts] },
  ],
  RotaryEmbedding: [
    ({ dim = 2, ...rest }) => new nn.RotaryEmbedding(dim, rest),
    { dim: [...sizes, 3], base: [0, ...amounts], layout: ["both", NaN] },
  ],
  SoftmaxAttention: [(given) => new nn.SoftmaxAttention(given), { scale: numbers }],
  TransformerEncoderLayer: [
    (given) => new nn.TransformerEncoderLayer({ ...layer, ...given }),
    { ...layerNumbers, activation: ["unknown", NaN] },
  ],
  TransformerDecoderLayer: [
    (given) => new nn.TransformerDecoderLayer({ ...layer, ...given }),
    { ...layerNumbers, activation: ["unknown", NaN] },
  ],
  TransformerEncoder: [
    ({ numLayers = 1 }) =>
      new nn.TransformerEncoder(new nn.TransformerEncoderLayer(layer), { numLayers }),
    { numLayers: sizes },
  ],
  TransformerDecoder: [
    ({ numLayers = 1 }) =>
      new nn.TransformerDecoder(new nn.TransformerDecoderLayer(layer), { numLayers }),
    { numLayers: sizes },
  ],
  SGD: [
    (given) => new optim.SGD([new nn.Parameter(ones([1]))], given),
    { lr: amounts, momentum: amounts, dampening: numbers, weightDecay: amounts, nesterov: [true] },
  ],
  Adam: [(given) => new optim.Adam([new nn.Parameter(ones([1]))], given), adam],
  AdamW: [(given) => new optim.AdamW([new nn.Parameter(ones([1]))], given), adam],
  ConstantLR: [
    (given) => new optim.ConstantLR(optimizer, given),
    { factor: amounts, totalIters: [NaN, -1, 0.5] },
  ],
  LinearLR: [
    (given) => new optim.LinearLR(optimizer, given),
    { startFactor: amounts, endFactor: amounts, totalIters: sizes },
  ],
  StepLR: [
    ({ stepSize = 1, gamma = 1 }) => new optim.StepLR(optimizer, { stepSize, gamma }),
    { stepSize: sizes, gamma: amounts },
  ],
  MultiStepLR: [
    ({ milestones = [1], gamma = 1 }) => new optim.MultiStepLR(optimizer, { milestones, gamma }),
    { milestones: [[NaN], [1, -1], [0.5]], gamma: amounts },
  ],
  ExponentialLR: [
    ({ gamma = 1 }) => new optim.ExponentialLR(optimizer, { gamma }),
    { gamma: amounts },
  ],
  PolynomialLR: [
    (given) => new optim.PolynomialLR(optimizer, given),
    { totalIters: sizes, power: amounts },
  ],
  SequentialLR: [
    ({ milestones = [1] }) => {
      const parts = [1, 2].map(() => new optim.LambdaLR(optimizer, () => 1));
      return new optim.SequentialLR(optimizer, parts, { milestones });
    },
    { milestones: [[NaN], [0], [-1], [1.5], []] },
  ],
  CosineAnnealingLR: [
    ({ tMax = 1, etaMin = 0 }) => new optim.CosineAnnealingLR(optimizer, { tMax, etaMin }),
    { tMax: sizes, etaMin: amounts },
  ],
  CosineAnnealingWarmRestarts: [
    ({ t0 = 1, ...rest }) => new optim.CosineAnnealingWarmRestarts(optimizer, { t0, ...rest }),
    { t0: sizes, tMult: sizes, etaMin: amounts },
  ],
  OneCycleLR: [
    (given) => new optim.OneCycleLR(optimizer, { maxLr: 1, totalSteps: 4, ...given }),
    {
      maxLr: [...amounts, [1, 2]],
      totalSteps: sizes,
      pctStart: shares,
      divFactor: [0, ...amounts],
      finalDivFactor: [0, ...amounts],
      baseMomentum: amounts,
      maxMomentum: amounts,
      annealStrategy: ["sine", NaN],
    },
  ],
  WarmupLinearLR: [
    (given) => new optim.WarmupLinearLR(optimizer, { warmupSteps: 1, totalSteps: 4, ...given }),
    { ...warmup, warmupSteps: [...warmup.warmupSteps, 4] },
  ],
  WarmupCosineLR: [
    (given) => new optim.WarmupCosineLR(optimizer, { warmupSteps: 1, totalSteps: 4, ...given }),
    warmup,
  ],
  WarmupConstantLR: [
    ({ warmupSteps = 1 }) => new optim.WarmupConstantLR(optimizer, { warmupSteps }),
    { warmupSteps: warmup.warmupSteps },
  ],
};

const wrong = Object.entries(cases).flatMap(([name, [make, values]]) =>
  Object.entries(values).flatMap(([option, list]) =>
    list.map((value) => ({ name, option, value, make })),
  ),
);

test.each(wrong)("$name refuses $option $value", ({ make, option, value }) => {
  const failure = failureOf(() => make({ [option]: value } as Record<string, never>));
  expect(failure).toMatch(/^argument \| \w+: .+, got .+\. .+\.$/);
});

test("valid numbers pass", () => {
  for (const name of ["Conv1d", "MultiheadAttention", "SGD", "OneCycleLR", "WarmupCosineLR"]) {
    expect(cases[name]![0]({})).toBeTruthy();
  }
});

test("every class with a configuration is covered", () => {
  // These take modules, tensors or functions, or nothing at all.
  const others = ["Buffer", "Identity", "LambdaLR", "LearningRateSchedule", "LogSigmoid", "Module"];
  others.push("ModuleList", "Optimizer", "Parameter", "ReLU", "Sequential", "SiLU", "Sigmoid");
  others.push("Tanh");
  const classes = Object.entries({ ...nn, ...optim })
    .filter(([name, value]) => typeof value === "function" && /^[A-Z]/.test(name))
    .map(([name]) => name);
  expect(classes.sort()).toEqual([...Object.keys(cases), ...others].sort());
});
