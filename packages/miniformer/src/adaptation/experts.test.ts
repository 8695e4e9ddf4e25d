import { beforeAll, describe, expect, test } from "vitest";
import {
  linear,
  manualSeed,
  memory,
  mseLoss,
  profile,
  randint,
  randn,
  reference,
  setDevice,
  tensor,
  type Tensor,
} from "@x/tensor";
import { AdamW } from "@x/tensor/optim";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import type { TransformerOptions } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { FeedForward } from "../model/feed-forward.js";
import { Transformer } from "../model/transformer.js";
import { blockSizes, sortIntoBlocks } from "./expert-routing.js";
import { auxiliaryLoss, expertParts } from "./experts.js";
import { MixtureOfExperts, type MixtureOfExpertsOptions } from "./mixture-of-experts.js";

/** Every expert for every token, one expert after the other. */
async function byLoop(experts: MixtureOfExperts, x: Tensor): Promise<Tensor> {
  const { count, topK, activation } = experts;
  const probabilities = experts.router.forward(x).softmax(-1);
  const { values } = probabilities.topk(topK);
  const least = values.narrow(-1, topK - 1, 1);
  const kept = probabilities.mul(probabilities.ge(least));
  const weights = topK === 1 ? kept : kept.div(kept.sum(-1, { keepdim: true }));
  let sum = x.mul(0);
  for (let i = 0; i < count; i++) {
    const map = (maps: NonNullable<MixtureOfExperts["w12"]>, input: Tensor): Tensor =>
      linear(input, maps.weight.select(0, i), maps.bias && maps.bias.select(0, i));
    let y: Tensor;
    if (experts.w12 === null) y = map(experts.linear2!, map(experts.linear1!, x).gelu());
    else {
      expect(activation).toBe("swiglu");
      const [gate, inner] = map(experts.w12, x).chunk(2, -1) as [Tensor, Tensor];
      y = map(experts.proj!, gate.silu().mul(inner));
    }
    sum = sum.add(y.mul(weights.narrow(-1, i, 1)));
  }
  return sum.realize();
}

describe.each(devices)("MixtureOfExperts on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(9);
  });

  test.each<["blocks" | "dense", Partial<MixtureOfExpertsOptions>]>([
    ["blocks", { topK: 2 }],
    ["blocks", { topK: 1, activation: "swiglu" }],
    ["blocks", { topK: 4, bias: false }],
    ["dense", { topK: 2, activation: "swiglu", bias: false }],
    ["dense", { topK: 1 }],
  ])(
    "computed by %s equals a loop over the experts, and so do gradients: %o",
    async (evaluation, options) => {
      const experts = new MixtureOfExperts({ dModel: 6, dFf: 8, count: 4, evaluation, ...options });
      for (const shape of [
        [3, 7, 6],
        [1, 1, 6],
      ]) {
        const x = await randn(shape).realize();
        const goal = await randn(shape).realize();
        const results: Float32Array[] = [];
        for (const forward of [() => experts.forward(x), () => byLoop(experts, x)]) {
          const y = await forward();
          results.push((await y.data()) as Float32Array);
        }
        await expectClose(tensor(results[0]!), results[1]!, { absolute: 1e-5 });
        experts.zeroGrad();
        mseLoss(experts.forward(x), goal).backward();
        const [router, inner] = [experts.router.weight, (experts.w12 ?? experts.linear1)!.weight];
        const own = await Promise.all([router.grad!.data(), inner.grad!.data()]);
        // The slope of the loss along its gradient.
        const step = 1e-3;
        const size = own.flatMap((g) => [...g]).reduce((sum, g) => sum + g * g, 0);
        const before = await mseLoss(experts.forward(x), goal).item();
        for (const [i, parameter] of [router, inner].entries()) {
          parameter.assign(parameter.add(tensor(own[i]!).reshape(parameter.shape).mul(step)));
        }
        const after = await mseLoss(experts.forward(x), goal).item();
        expect(Math.abs((after - before) / step - size)).toBeLessThan(0.05 * size + 1e-3);
      }
    },
  );

  test("sorts tokens by expert, whatever they choose, at one shape", async () => {
    for (const [tokens, topK, count] of [
      [10, 2, 4],
      [7, 1, 3],
      [1, 2, 5],
      [9, 3, 3],
    ] as const) {
      const sizes = blockSizes(tokens, topK, count);
      for (const spread of [true, false]) {
        const chosen = Array.from({ length: tokens }, (_, i) =>
          Array.from({ length: topK }, (_, j) => (spread ? (i * 3 + j) % count : j)),
        );
        const blocks = sortIntoBlocks(tensor(chosen, { dtype: "int32" }), count, sizes);
        expect(blocks.tokens.shape).toEqual([sizes.blocks * sizes.size]);
        const [at, rows, owners] = await Promise.all(
          [blocks.tokens, blocks.rows, blocks.experts].map((part) => part.data()),
        );
        expect(new Set(rows).size).toBe(tokens * topK);
        rows!.forEach((row, i) => {
          expect(at![row]).toBe(Math.floor(i / topK));
          expect(owners![Math.floor(row / sizes.size)]).toBe(chosen.flat()[i]);
        });
      }
    }
  });

  test("is balanced by its loss on a task that one expert could do", async () => {
    const fractions: number[] = [];
    for (const balance of [0, 0.1]) {
      manualSeed(11);
      const experts = new MixtureOfExperts({ dModel: 8, dFf: 8, count: 4, topK: 1 });
      // At the start nearly all tokens go to one expert.
      const { weight } = experts.router;
      weight.assign(weight.mul(0.1));
      const x = await randn([64, 8])
        .add(tensor([2, 0, 0, 0, 0, 0, 0, 0]))
        .realize();
      const tilt = tensor([[1], [0], [0], [0]]).mul(tensor([[1, 0, 0, 0, 0, 0, 0, 0]]));
      weight.assign(weight.add(tilt));
      const optimizer = new AdamW(experts.parameters(), { lr: 0.02, weightDecay: 0 });
      for (let i = 0; i < 60; i++) {
        optimizer.zeroGrad();
        const loss = mseLoss(experts.forward(x), x.mul(0.5));
        loss.add(auxiliaryLoss(experts, { balance, z: 1e-4 })).backward();
        await optimizer.step();
      }
      experts.forward(x);
      const chosen = await experts.routing!.chosen.data();
      const counts = [0, 1, 2, 3].map((i) => Array.from(chosen).filter((e) => e === i).length);
      fractions.push(Math.max(...counts) / chosen.length);
      expect(await auxiliaryLoss(experts, { balance: 1 }).item()).toBeGreaterThan(0.9);
    }
    expect(fractions[0]).toBeGreaterThan(0.6);
    expect(fractions[1]).toBeLessThan(0.45);
  });

  test("trains in a model, with checkpoints as without", async () => {
    const losses: number[][] = [];
    for (const checkpoint of [false, true]) {
      const model = makeModel({ checkpoint });
      const tokens = await randint(0, 12, [4, 16]).realize();
      const optimizer = new AdamW(model.parameters(), { lr: 0.01 });
      const own: number[] = [];
      let held = 0;
      for (let i = 0; i < 8; i++) {
        optimizer.zeroGrad();
        const error = mseLoss(model.forward(tokens), tokens.oneHot(12).float());
        const loss = error.add(auxiliaryLoss(model));
        loss.backward();
        const { compileCount } = await profile(() => optimizer.step());
        own.push(await loss.item());
        if (i === 4) held = memory().tensors;
        if (i <= 4) continue;
        expect(compileCount).toBe(0);
        expect(memory().tensors).toBeLessThanOrEqual(held);
      }
      losses.push(own);
      expect(own.at(-1)!).toBeLessThan(0.9 * own[0]!);
      // Nothing was called since, so there is nothing to take; checkpoints call layers again.
      if (!checkpoint) expect(await auxiliaryLoss(model).item()).toBe(0);
    }
    await expectClose(tensor(losses[1]!), losses[0]!, { relative: 1e-3 });
  });

  test("decodes in a model as it computes at once", async () => {
    const model = makeModel().eval();
    const tokens = await randint(0, 12, [4, 16]).realize();
    const whole = await model.forward(tokens).realize();
    const state = model.initState({ batch: 4, capacity: 16 });
    await model.forward(tokens.narrow(1, 0, 15), { state }).data();
    const last = model.forward(tokens.narrow(1, 15, 1), { state });
    await expectClose(last, whole.narrow(1, 15, 1), { absolute: 1e-4 });
  });
});

/** A model of one layer with experts. */
function makeModel(options: TransformerOptions = {}): Transformer {
  manualSeed(3);
  const config = TransformerConfig.tiny({
    ...{ vocabSize: 12, dModel: 16, nHeads: 2, nLayers: 1, activation: "swiglu" },
    experts: { count: 4, topK: 2 },
    ...options,
  });
  return new Transformer(config, expertParts());
}

test("a configuration says which layers have experts", () => {
  setDevice(reference());
  const model = makeModel({ nLayers: 2, experts: { count: 3, topK: 1, layers: [1] } });
  expect(model.encoder.layers[0]!.feedForward).toBeInstanceOf(FeedForward);
  const { "encoder.layers.1.feed_forward.w12.weight": weight } = model.stateDict();
  expect(weight!.shape).toEqual([3, 128, 16]);
});

describe("errors of experts", () => {
  beforeAll(() => {
    setDevice(reference());
  });
  test.each<[string, () => unknown, string]>([
    [
      "argument",
      () => new MixtureOfExperts({ dModel: 4, count: 2, topK: 3 }),
      "MixtureOfExperts: topK must be at most the number of experts, got 3 of 2. Choose fewer.",
    ],
    [
      "argument",
      () => new MixtureOfExperts({ dModel: 4, count: 2, activation: "tanh" as "gelu" }),
      "MixtureOfExperts: activation must be one of",
    ],
    [
      "shape",
      () => new MixtureOfExperts({ dModel: 4, count: 2 }).forward(randn([2, 3])),
      "MixtureOfExperts: ",
    ],
    [
      "argument",
      () => auxiliaryLoss(new MixtureOfExperts({ dModel: 4, count: 2 }), { balance: -1 }),
      "auxiliaryLoss: balance must be",
    ],
  ])("%s: %#", (code, body, sentence) => {
    expect(body).toThrow(sentence);
    expect(codeOf(body)).toBe(code);
  });
});
