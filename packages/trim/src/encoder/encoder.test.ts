import { beforeAll, describe, expect, test } from "vitest";
import { manualSeed, randn, setDevice, tensor, zeros, type Tensor } from "@x/tensor";
import { LayerNorm, LearnedPositionalEncoding, type ActivationName } from "@x/tensor/nn";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { CumulativeTransformerEncoderKV } from "./encoder.js";
import {
  CumulativeTransformerEncoderLayerKV,
  type CumulativeEncoderLayerOptions,
} from "./layer.js";

const close = { relative: 2e-5, absolute: 1e-6, relativeTo: "largest" } as const;
const sizes = { dModel: 8, nHead: 2, dimFeedforward: 12 };

function layer(options: Partial<CumulativeEncoderLayerOptions> = {}) {
  return new CumulativeTransformerEncoderLayerKV({ ...sizes, batchFirst: true, ...options });
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(7);
  });

  test("layers start as copies, each with parameters of its own", async () => {
    const pattern = layer({ posEmb: new LearnedPositionalEncoding(8, 8) });
    await pattern.forward(randn([1, 2, 8]), { updateKvCache: true }).realize();
    const model = new CumulativeTransformerEncoderKV(pattern, { numLayers: 2 });
    expect(model.numLayers).toBe(2);
    expect(model.kvCache).toBeNull();
    const [a, b] = [...model.layers];
    expect(await a!.linear1.weight.data()).toEqual(await b!.linear1.weight.data());
    expect(await a!.linear1.weight.data()).toEqual(await pattern.linear1.weight.data());
    a!.linear1.weight.assign(a!.linear1.weight.add(1));
    expect(await a!.linear1.weight.data()).not.toEqual(await b!.linear1.weight.data());
    expect(a!.posEmb).not.toBe(b!.posEmb);
    expect(model.parameters().length).toBe(2 * pattern.parameters().length);
  });

  test("every option has an effect", async () => {
    const x = await randn([2, 5, 8]).realize();
    const outputs = new Set<string>();
    const variants: Partial<CumulativeEncoderLayerOptions>[] = [
      {},
      { normFirst: true },
      { activation: "gelu" },
      { activation: (y: Tensor) => y.mul(2) },
      { layerNormEps: 0.5 },
      { normQ: true },
      { normK: true },
      { normV: true },
      { scale: 0.1 },
      { posEmb: new LearnedPositionalEncoding(5, 8) },
    ];
    const weights = layer().stateDict();
    for (const options of variants) {
      const model = layer(options).eval();
      model.loadStateDict(weights, { strict: false });
      outputs.add(String(await model.forward(x, { isCausal: true }).data()));
    }
    expect(outputs.size).toBe(variants.length);
    expect(
      Object.keys(layer({ bias: false }).stateDict()).some((name) => name.includes("bias")),
    ).toBe(false);
  });

  test("without a batch axis, positions included", async () => {
    for (const batchFirst of [true, false]) {
      const model = layer({ batchFirst, posEmb: new LearnedPositionalEncoding(8, 8) }).eval();
      const x = randn([5, 8]);
      const axis = batchFirst ? 0 : 1;
      const expected = model.forward(x.unsqueeze(axis), { isCausal: true }).squeeze(axis);
      await expectClose(model.forward(x, { isCausal: true }), expected, close);
    }
  });

  test("positions go on where the cache stands; with compat they start again", async () => {
    const posEmb = new LearnedPositionalEncoding(8, 8);
    posEmb.weight.assign(posEmb.weight.mul(20));
    const [ours, original] = [
      layer({ posEmb }).eval(),
      layer({ posEmb, compat: "reference" }).eval(),
    ];
    original.loadStateDict(ours.stateDict());
    const x = randn([1, 4, 8]);
    const whole = ours.forward(x, { isCausal: true }).narrow(1, 2, 2);
    for (const [model, agrees] of [
      [ours, true],
      [original, false],
    ] as const) {
      const call = { isCausal: true, useKvCache: true, updateKvCache: true };
      await model.forward(x.narrow(1, 0, 2), call).realize();
      const y = model.forward(x.narrow(1, 2, 2), call);
      const difference = await y.sub(whole).abs().max().item();
      if (agrees) expect(difference).toBeLessThan(1e-4);
      else expect(difference).toBeGreaterThan(1e-3);
    }
  });

  test("training works with a cache, and dropout is on only in training", async () => {
    const model = new CumulativeTransformerEncoderKV(layer({ dropout: 0.3 }), {
      numLayers: 2,
      norm: new LayerNorm(8),
    });
    const x = await randn([2, 5, 8]).realize();
    const run = () => model.forward(x, { isCausal: true, useKvCache: true, updateKvCache: true });
    const loss = run().square().mean();
    loss.backward();
    expect(await loss.item()).toBeGreaterThan(0);
    for (const [name, parameter] of model.namedParameters()) {
      expect(parameter.grad, name).not.toBeNull();
      expect((await parameter.grad!.data()).every(Number.isFinite), name).toBe(true);
    }
    expect(await model.kvCache!.position.item()).toBe(5);
    const plain = async () => model.forward(x, { isCausal: true }).data();
    expect(await plain()).not.toEqual(await plain());
    model.eval();
    expect(await plain()).toEqual(await plain());
  });
});

test("wrong configurations and inputs are refused", () => {
  const make = (options: Partial<CumulativeEncoderLayerOptions>) => () => layer(options);
  const owner = "CumulativeTransformerEncoderLayerKV";
  expect(make({ dModel: NaN })).toThrow(
    `${owner}: dModel must be a whole number of at least 1, got NaN`,
  );
  expect(make({ nHead: 3 })).toThrow("must divide embedDim, got 3 heads for 8");
  expect(make({ dimFeedforward: 1.5 })).toThrow("dimFeedforward must be a whole number");
  expect(make({ dropout: 2 })).toThrow(`${owner}: dropout must lie between 0 and 1, got 2`);
  expect(make({ layerNormEps: NaN })).toThrow(
    "layerNormEps must be a finite number above 0, got NaN",
  );
  expect(make({ layerNormEps: 0 })).toThrow("got 0");
  expect(make({ activation: "cube" as ActivationName })).toThrow('got "cube"');
  // What the types forbid, JavaScript can still pass.
  expect(make({ posEmb: 3 as unknown as LearnedPositionalEncoding })).toThrow(
    "posEmb must be a module",
  );
  expect(codeOf(make({ nHead: 3 }))).toBe("argument");
  expect(() => new CumulativeTransformerEncoderKV(layer(), { numLayers: 0 })).toThrow(
    "CumulativeTransformerEncoderKV: numLayers must be a whole number of at least 1, got 0. Correct it.",
  );
  // What the types forbid, JavaScript can still pass.
  const norm = 1 as unknown as LayerNorm;
  expect(() => new CumulativeTransformerEncoderKV(layer(), { numLayers: 1, norm })).toThrow(
    "norm must be",
  );
  const model = new CumulativeTransformerEncoderKV(layer(), { numLayers: 1 });
  expect(() => model.forward(zeros([2, 3, 4, 8]))).toThrow(
    `${owner}: the input must have the axes [batch, length, 8] or [length, 8], got [2, 3, 4, 8]. Reshape it.`,
  );
  const mask = tensor([0, 1, 7], { dtype: "int32" });
  expect(() => model.forward(zeros([2, 3, 8]), { mask })).toThrow("must lie between 0 and 2");
  expect(codeOf(() => model.forward(zeros([2, 3, 8]), { mask, isCausal: true }))).toBe("argument");
});
