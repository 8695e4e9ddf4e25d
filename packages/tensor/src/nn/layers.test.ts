import { beforeAll, describe, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { manualSeed, randn } from "../random/index.js";
import { reference } from "../reference/device.js";
import { conv1d, conv2d } from "../tensor/convolution.js";
import { ones, tensor, zeros } from "../tensor/creation.js";
import * as losses from "../tensor/losses.js";
import { layerNorm, rmsNorm } from "../tensor/normalization.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectClose } from "../testing/index.js";
import * as nn from "./index.js";

beforeAll(() => {
  setDevice(reference());
  manualSeed(0);
});

describe("modules do what the functions do", () => {
  const x = (): Tensor => tensor([[-2, -0.5, 0.5, 2]]);
  const activations: [string, () => nn.TensorModule, (x: Tensor) => Tensor][] = [
    ["ReLU", () => new nn.ReLU(), (y) => y.relu()],
    ["LeakyReLU", () => new nn.LeakyReLU(0.2), (y) => y.leakyRelu(0.2)],
    ["ELU", () => new nn.ELU(2), (y) => y.elu(2)],
    ["GELU", () => new nn.GELU(), (y) => y.gelu()],
    [
      "GELU tanh",
      () => new nn.GELU({ approximate: "tanh" }),
      (y) => y.gelu({ approximate: "tanh" }),
    ],
    ["SiLU", () => new nn.SiLU(), (y) => y.silu()],
    ["Tanh", () => new nn.Tanh(), (y) => y.tanh()],
    ["Sigmoid", () => new nn.Sigmoid(), (y) => y.sigmoid()],
    ["LogSigmoid", () => new nn.LogSigmoid(), (y) => y.logSigmoid()],
    ["Softplus", () => new nn.Softplus({ beta: 2 }), (y) => y.softplus({ beta: 2 })],
    ["Softmax", () => new nn.Softmax(-1), (y) => y.softmax(-1)],
    ["LogSoftmax", () => new nn.LogSoftmax(1), (y) => y.logSoftmax(1)],
    ["Identity", () => new nn.Identity(), (y) => y],
  ];
  test.each(activations)("%s", async (_, make, fn) => {
    await expectClose(make().forward(x()), await fn(x()).data());
  });

  const target = (): Tensor => tensor([[0.1, 0.2, 0.3, 0.4]]);
  const classes = (): Tensor => tensor([3], { dtype: "int32" });
  const lossCases: [string, () => Tensor, () => Tensor][] = [
    ["MSELoss", () => new nn.MSELoss().forward(x(), target()), () => losses.mseLoss(x(), target())],
    [
      "L1Loss",
      () => new nn.L1Loss({ reduction: "sum" }).forward(x(), target()),
      () => losses.l1Loss(x(), target(), { reduction: "sum" }),
    ],
    [
      "SmoothL1Loss",
      () => new nn.SmoothL1Loss({ beta: 2 }).forward(x(), target()),
      () => losses.smoothL1Loss(x(), target(), { beta: 2 }),
    ],
    [
      "HuberLoss",
      () => new nn.HuberLoss({ delta: 2 }).forward(x(), target()),
      () => losses.huberLoss(x(), target(), { delta: 2 }),
    ],
    [
      "BCELoss",
      () => new nn.BCELoss().forward(target(), target()),
      () => losses.binaryCrossEntropy(target(), target()),
    ],
    [
      "BCEWithLogitsLoss",
      () => new nn.BCEWithLogitsLoss().forward(x(), target()),
      () => losses.binaryCrossEntropyWithLogits(x(), target()),
    ],
    [
      "KLDivLoss",
      () => new nn.KLDivLoss({ reduction: "batchmean" }).forward(x(), target()),
      () => losses.klDiv(x(), target(), { reduction: "batchmean" }),
    ],
    [
      "NLLLoss",
      () => new nn.NLLLoss().forward(x(), classes()),
      () => losses.nllLoss(x(), classes()),
    ],
    [
      "CrossEntropyLoss",
      () => new nn.CrossEntropyLoss({ labelSmoothing: 0.1 }).forward(x(), classes()),
      () => losses.crossEntropy(x(), classes(), { labelSmoothing: 0.1 }),
    ],
  ];
  test.each(lossCases)("%s", async (_, actual, expected) => {
    await expectClose(actual(), await expected().data());
  });

  test("LayerNorm and RMSNorm", async () => {
    const y = await randn([3, 2, 4]).realize();
    const norm = new nn.LayerNorm([2, 4], { eps: 0.1 });
    norm.weight!.assign(randn([2, 4]));
    norm.bias!.assign(randn([2, 4]));
    const { weight, bias } = norm;
    await expectClose(
      norm.forward(y),
      await layerNorm(y, [2, 4], { weight, bias, eps: 0.1 }).data(),
    );
    const plain = new nn.LayerNorm(4, { elementwiseAffine: false });
    expect(plain.parameters()).toEqual([]);
    await expectClose(plain.forward(y), await layerNorm(y, 4).data());
    expect(new nn.LayerNorm(4, { bias: false }).parameters()).toHaveLength(1);
    const rms = new nn.RMSNorm(4);
    rms.weight!.assign(randn([4]));
    await expectClose(rms.forward(y), await rmsNorm(y, 4, { weight: rms.weight }).data());
  });

  test("Conv1d and Conv2d", async () => {
    const signal = await randn([2, 4, 9]).realize();
    const one = new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1, groups: 2 });
    const { weight, bias } = one;
    const options = { bias, stride: 2, padding: 1, groups: 2 };
    await expectClose(one.forward(signal), await conv1d(signal, weight, options).data());
    expect(one.forward(signal.slice(0)).shape).toEqual([6, 5]);
    const image = await randn([2, 3, 5, 6]).realize();
    const two = new nn.Conv2d(3, 4, [2, 3], { bias: false, dilation: [1, 2], padding: "valid" });
    await expectClose(
      two.forward(image),
      await conv2d(image, two.weight, { dilation: [1, 2] }).data(),
    );
    expect(Object.keys(two.stateDict())).toEqual(["weight"]);
  });

  test("Dropout", async () => {
    const layer = new nn.Dropout(0.25);
    const y = await layer.forward(ones([4000])).data();
    const kept = y.filter((number) => number !== 0);
    expect(Math.abs(kept.length / 4000 - 0.75)).toBeLessThan(0.03);
    expect(kept[0]).toBeCloseTo(4 / 3, 6);
    expect(
      await layer
        .eval()
        .forward(ones([4]))
        .toArray(),
    ).toEqual([1, 1, 1, 1]);
  });
});

const refused: [string, () => unknown][] = [
  ["Conv1d: inChannels must be a whole number of at least 1, got 0.", () => new nn.Conv1d(0, 1, 1)],
  [
    "Conv2d: kernelSize must be one number or 2, got [1, 2, 3].",
    () => new nn.Conv2d(1, 1, [1, 2, 3]),
  ],
  [
    "Conv2d: stride must be a whole number of at least 1, got NaN.",
    () => new nn.Conv2d(1, 1, 1, { stride: NaN }),
  ],
  [
    "Conv1d: groups must divide both numbers of channels, got 2 for 3 and 4.",
    () => new nn.Conv1d(3, 4, 1, { groups: 2 }),
  ],
  [
    'Conv1d: padding must be one of "valid", "same", got "full".',
    () => new nn.Conv1d(1, 1, 1, { padding: "full" as "same" }),
  ],
  [
    "Conv1d: the input must have 3 channels before its last 1 axes, got [2, 4, 5].",
    () => new nn.Conv1d(3, 4, 1).forward(zeros([2, 4, 5])),
  ],
  ["LeakyReLU: negativeSlope must be a finite number, got NaN.", () => new nn.LeakyReLU(NaN)],
  [
    'GELU: approximate must be one of "none", "tanh", got "erf".',
    () => new nn.GELU({ approximate: "erf" as "tanh" }),
  ],
  ["Softplus: beta must be a finite number above 0, got 0.", () => new nn.Softplus({ beta: 0 })],
  ["RMSNorm: normalizedShape must name at least one axis, got none.", () => new nn.RMSNorm([])],
];

test.each(refused)("refuses: %s", (sentence, body) => {
  expect(body).toThrow(sentence);
});
