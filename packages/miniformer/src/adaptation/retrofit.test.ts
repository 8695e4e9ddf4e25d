import { beforeAll, describe, expect, test } from "vitest";
import { crossEntropy, manualSeed, randint, setDevice, type Tensor } from "@x/tensor";
import { Linear, SoftmaxAttention, type AttentionMechanism } from "@x/tensor/nn";
import { AdamW } from "@x/tensor/optim";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { registerAttention } from "../config/attention-registry.js";
import type { TransformerOptions } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { MultiHeadAttention } from "../model/attention.js";
import { Seq2SeqTransformer } from "../model/seq2seq.js";
import { Transformer } from "../model/transformer.js";
import { retrofit } from "./retrofit.js";

/** The running mean of the values. */
class MeanAttention implements AttentionMechanism {
  forward(_query: Tensor, _key: Tensor, value: Tensor): Tensor {
    return value.cumsum(2).div(value.mul(0).add(1).cumsum(2));
  }
}

class OwnAttention extends MultiHeadAttention {
  override attend(...[heads, guide]: Parameters<MultiHeadAttention["attend"]>): Tensor {
    return super.attend(heads, guide);
  }
}

const make = (options: TransformerOptions = {}): Transformer =>
  new Transformer(
    TransformerConfig.tiny({ vocabSize: 11, dModel: 16, nHeads: 2, nLayers: 3, ...options }),
  );

describe.each(devices)("retrofit on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(2);
    registerAttention("test-mean", { make: () => new MeanAttention() });
    registerAttention("test-normed", { make: () => new MeanAttention(), needsNorm: true });
  });

  test("keeps what a model gives where the attention is the same", async () => {
    const model = make({ positions: "rotary" });
    const tokens = randint(0, 11, [2, 9]);
    const before = await model.forward(tokens).data();
    const parameters = model.parameters();
    expect(retrofit(model, new SoftmaxAttention())).toHaveLength(3);
    await expectClose(model.forward(tokens), before, { absolute: 1e-5 });
    expect(model.parameters()).toEqual(parameters);
  });

  test("replaces some layers or all, keeps names, is written down, and trains", async () => {
    const model = make();
    const names = Object.keys(model.stateDict());
    const tokens = await randint(0, 11, [4, 12]).realize();
    const before = await model.forward(tokens).data();
    const [changed] = retrofit(model, "test-mean", { layers: [1] });
    expect(changed).toBe(model.encoder.layers[1]!.selfAttention);
    expect(model.config.attention).toEqual(["softmax", "test-mean", "softmax"]);
    expect(model.encoder.config).toBe(model.config);
    expect(await model.forward(tokens).data()).not.toEqual(before);
    retrofit(model, { name: "test-mean" }, { layers: [0, 2] });
    expect(Object.keys(model.stateDict())).toEqual(names);

    const copy = new Transformer(TransformerConfig.fromJSON(model.config.toJSON()));
    copy.loadStateDict(model.stateDict());
    await expectClose(copy.forward(tokens), await model.forward(tokens).data());

    const loss = (): Tensor =>
      crossEntropy(model.forward(tokens).flatten(0, 1), tokens.reshape([-1]));
    const first = await loss().item();
    const optimizer = new AdamW(model.parameters(), { lr: 0.01 });
    for (let i = 0; i < 10; i++) {
      optimizer.zeroGrad();
      loss().backward();
      await optimizer.step();
    }
    expect(await loss().item()).toBeLessThan(0.8 * first);
  });

  test("changes encoder and decoder, and leaves attention to the memory", async () => {
    const config = new TransformerConfig({
      ...{ vocabSize: 9, outputDim: 9, dModel: 8, nHeads: 2, nLayers: 2, nDecoderLayers: 1 },
    });
    const model = new Seq2SeqTransformer(config).eval();
    const names = Object.keys(model.stateDict());
    expect(retrofit(model, "test-mean")).toHaveLength(3);
    expect(Object.keys(model.stateDict())).toEqual(names);
    expect(model.config.attention).toBe("test-mean");
    expect(model.decoder.layers[0]!.crossAttention.mechanism).toBeNull();
    const copy = new Seq2SeqTransformer(TransformerConfig.fromJSON(model.config.toJSON())).eval();
    copy.loadStateDict(model.stateDict());
    const [source, target] = [randint(0, 9, [1, 5]), randint(0, 9, [1, 4])];
    await expectClose(copy.forward(source, target), await model.forward(source, target).data());
  });

  test("adds norms where the attention needs them, unless told otherwise", () => {
    const model = make();
    const before = Object.keys(model.stateDict());
    retrofit(model, "test-normed", { layers: [0], qkNorm: false });
    expect(Object.keys(model.stateDict())).toEqual(before);
    retrofit(model, "test-normed", { layers: [2] });
    const added = Object.keys(model.stateDict()).filter((name) => !before.includes(name));
    expect(added).toContain("encoder.layers.2.self_attention.q_norm.weight");
    expect(added.every((name) => name.includes("layers.2"))).toBe(true);
  });
});

describe("errors of retrofit", () => {
  const sentence = (reason: string): string =>
    `retrofit: the attention that is replaced must be that of softmax without anything that other attention cannot do, got ${reason}. Choose other layers, or a model without it.`;
  test.each<[() => unknown, string]>([
    [
      () => retrofit(new Linear(2, 2), "test-mean"),
      "retrofit: the model must have layers with attention, got none in Linear. Pass a Transformer.",
    ],
    [
      () => retrofit(make(), "test-mean", { layers: [3] }),
      "retrofit: layers must be numbers from 0 to 2, got 3. Correct them.",
    ],
    [() => retrofit(make(), "nothing"), '"nothing". Register it'],
    [
      () => retrofit(make({ positions: "alibi" }), "test-mean"),
      sentence('positions: "alibi", which are added to scores'),
    ],
    [
      () => retrofit(make({ slidingWindow: [null, 4, null] }), "test-mean"),
      sentence("a sliding window of 4 in layer 1"),
    ],
    [
      () => retrofit(make({ attention: new MeanAttention() }), "test-mean"),
      sentence("MeanAttention in layer 0 already"),
    ],
    [
      () =>
        retrofit(
          new Transformer(TransformerConfig.tiny({ vocabSize: 9, dModel: 8, nHeads: 2 }), {
            attention: (options) => new OwnAttention(options),
          }),
          "test-mean",
        ),
      sentence("OwnAttention, which attends in its own way, in layer 0"),
    ],
  ])("argument: %#", (body, text) => {
    registerAttention("test-mean", { make: () => new MeanAttention() });
    expect(body).toThrow(text);
    expect(codeOf(body)).toBe("argument");
  });
});
