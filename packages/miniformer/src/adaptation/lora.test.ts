import { beforeAll, describe, expect, test } from "vitest";
import { manualSeed, mseLoss, randn, setDevice, tensor, type Tensor } from "@x/tensor";
import { Linear, Module } from "@x/tensor/nn";
import { AdamW } from "@x/tensor/optim";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { Transformer } from "../model/transformer.js";
import { addLora, loadLora, loraStateDict, mergeLora, removeLora } from "./lora.js";
import { quantize } from "./quantize.js";

/** A map in two places, and one whose weight another one has too. */
class Model extends Module {
  readonly wq = new Linear(6, 6);
  readonly inner = [this.wq, new Linear(6, 4)];
  readonly head = new Linear(4, 6, { bias: false });
  readonly tied = Object.assign(new Linear(4, 6, { bias: false }), { weight: this.head.weight });

  forward(x: Tensor): Tensor {
    const hidden = this.inner[1]!.forward(this.inner[0]!.forward(this.wq.forward(x)).gelu());
    return this.head.forward(hidden).add(this.tied.forward(hidden.square()));
  }
}

async function trained(model: Model, x: Tensor, y: Tensor): Promise<void> {
  const parameters = model.parameters().filter((parameter) => parameter.requiresGrad);
  const optimizer = new AdamW(parameters, { lr: 0.03, weightDecay: 0.1 });
  for (let i = 0; i < 5; i++) {
    optimizer.zeroGrad();
    mseLoss(model.forward(x), y).backward();
    await optimizer.step();
  }
}

describe.each(devices)("LoRA on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(5);
  });

  test("starts as the model was, trains only adapters, and merges", async () => {
    const model = new Model();
    const [x, y] = [await randn([8, 6]).realize(), await randn([8, 6]).realize()];
    const names = Object.keys(model.stateDict());
    const output = await model.forward(x).data();
    const before = await Promise.all(model.parameters().map((parameter) => parameter.data()));
    const frozen = model.parameters();

    const maps = addLora(model, { rank: 2, alpha: 4, targets: ["wq", "inner.1", "head"] });
    expect(maps).toHaveLength(3);
    expect(model.wq).toBe(model.inner[0]);
    const lora = Object.keys(model.stateDict()).filter((name) => !names.includes(name));
    expect(Object.keys(loraStateDict(model))).toEqual(lora);
    expect(lora).toContain("inner.0.lora_a");
    await expectClose(model.forward(x), output);

    await trained(model, x, y);
    for (const [i, parameter] of frozen.entries()) {
      expect(await parameter.data()).toEqual(before[i]);
    }
    const adapted = await model.forward(x).data();
    expect(Math.max(...adapted.map((value, i) => Math.abs(value - output[i]!)))).toBeGreaterThan(
      0.1,
    );

    const tied = await model.tied.weight.data();
    await mergeLora(model);
    await expectClose(model.forward(x), adapted, { absolute: 1e-5 });
    expect(Object.keys(model.stateDict())).toEqual(names);
    expect(model.parameters().every((parameter) => parameter.requiresGrad)).toBe(true);
    // The other map with that weight did not have the adapter.
    expect(await model.tied.weight.data()).toEqual(tied);
    expect(model.head.weight).not.toBe(model.tied.weight);
    expect(model.wq.constructor).toBe(Linear);
  });

  test("adapters are saved apart, loaded, and taken out", async () => {
    const [model, other] = [new Model(), new Model()];
    const x = await randn([4, 6]).realize();
    other.loadStateDict(model.stateDict());
    const before = await model.forward(x).data();
    for (const each of [model, other]) addLora(each, { rank: 3, targets: ["wq"] });
    await trained(model, x, x);
    const { "wq.lora_a": a, "wq.lora_b": b } = loraStateDict(model);
    expect(loadLora(other, { "wq.lora_a": a!, "wq.lora_b": b! })).toEqual({
      missing: [],
      unexpected: [],
    });
    await expectClose(other.forward(x), await model.forward(x).data());
    removeLora(other);
    await expectClose(other.forward(x), before);
  });

  test("by default adapts queries and values of a transformer, and a tied head where asked", async () => {
    const model = new Transformer(TransformerConfig.tiny({ vocabSize: 9, dModel: 8, nHeads: 2 }));
    const names = Object.keys(model.stateDict());
    const tokens = tensor([[1, 5, 3]], { dtype: "int32" });
    const before = await model.forward(tokens).data();
    expect(addLora(model, { rank: 1 })).toHaveLength(4);
    expect(Object.keys(loraStateDict(model))).toContain(
      "encoder.layers.0.self_attention.wv.lora_b",
    );
    addLora(model, { rank: 1, targets: ["output_projection"] });
    // Those that were added before are frozen.
    expect(model.parameters().filter((parameter) => parameter.requiresGrad)).toHaveLength(2);
    await expectClose(model.forward(tokens), before);
    removeLora(model);
    expect(Object.keys(model.stateDict())).toEqual(names);
    await expectClose(model.forward(tokens), before);
  });

  test("drops inputs in training only, and stands beside int8 weights", async () => {
    const model = new Model();
    const x = await randn([4, 6]).realize();
    await quantize(model, { dtype: "int8" });
    const before = await model.forward(x).data();
    addLora(model, { rank: 2, dropout: 0.5, targets: ["wq"] });
    await expectClose(model.forward(x), before);
    const kept = await model.head.weight.data();
    await trained(model, x, x);
    expect(await model.head.weight.data()).toEqual(kept);
    expect(await model.forward(x).data()).not.toEqual(await model.forward(x).data());
    model.eval();
    expect(await model.forward(x).data()).toEqual(await model.forward(x).data());
    await expect(mergeLora(model)).rejects.toThrow(
      "mergeLora: weights must be float32 to take an adapter in, got int8 for wq. Merge before quantize(), or keep the adapters.",
    );
  });
});

describe("errors of LoRA", () => {
  const adapted = (): Model => {
    const model = new Model();
    addLora(model, { targets: ["wq"] });
    return model;
  };
  test.each<[string, () => unknown, string]>([
    [
      "argument",
      () => addLora(new Model(), { rank: 0 }),
      "addLora: rank must be a whole number of at least 1, got 0.",
    ],
    [
      "argument",
      () => addLora(new Model(), { targets: ["query"] }),
      "addLora: the targets must name linear maps of the model, got query. Choose among wq, 1, head, tied.",
    ],
    [
      "argument",
      () => addLora(adapted(), { targets: ["wq"] }),
      "addLora: a map must have one adapter at most, got wq, which has one. Call mergeLora() or removeLora() first.",
    ],
    [
      "argument",
      () => loraStateDict(new Model()),
      "loraStateDict: the model must have adapters, got none in Model. Call addLora() first.",
    ],
    [
      "checkpoint",
      () => loadLora(adapted(), {}),
      "loadLora: the state must hold every adapter of the model, got none for wq.lora_a, wq.lora_b, inner.0.lora_a, inner.0.lora_b.",
    ],
    [
      "checkpoint",
      () => loadLora(adapted(), { "v.lora_a": randn([1]) }),
      "loadLora: the state must hold adapters that the model has, got v.lora_a.",
    ],
  ])("%s: %#", (code, body, sentence) => {
    expect(body).toThrow(sentence);
    expect(codeOf(body)).toBe(code);
  });
});
