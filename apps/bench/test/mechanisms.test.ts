/** What every attention mechanism promises, shown in the models of @x/miniformer. */

import { crossEntropy, fromData, noGrad, profile, randn, realize, type Tensor } from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { expect, it } from "vitest";
import { devices } from "../../../packages/tensor/test/devices.js";
import {
  batch,
  close,
  describeOn,
  hybrid,
  inParts,
  length,
  makeModel,
  names,
  placesFrom,
  someTokens,
  vocabulary,
  width,
} from "./small-models.js";

describeOn(devices, () => {
  it.each(names)("%s gives step by step what it gives at once", async (attention) => {
    const model = makeModel({ attention });
    const tokens = someTokens();
    const whole = noGrad(() => model.forward(tokens));
    await expectClose(await inParts(model, tokens), whole, close);
  });

  it.each(names)("%s does not see the future", async (attention) => {
    const model = makeModel({ attention });
    const changed = someTokens().add(placesFrom(13, 13).int()).remainder(vocabulary);
    const [past, again] = await Promise.all(
      [someTokens(), await changed.realize()].map(async (tokens) => {
        const logits = await noGrad(() => model.forward(tokens)).data();
        return logits.filter((_, i) => Math.floor(i / vocabulary) % length < 13);
      }),
    );
    expect(again).toEqual(past);
  });

  it.each(names)("%s makes an encoder, which padding does not influence", async (attention) => {
    const encode = (x: Tensor, keyMask: Tensor): Tensor =>
      noGrad(() =>
        makeModel({ vocabSize: null, inputDim: width, attention }).forward(x, { keyMask }),
      );
    const x = await randn([batch, length, width]).realize();
    const isPadding = await placesFrom(length, 11).realize();
    const keyMask = await isPadding.logicalNot().realize();
    const disturbed = await x.add(isPadding.unsqueeze(-1).mul(100)).realize();
    const y = encode(x, keyMask);
    expect(y.shape).toEqual([batch, length, width]);
    const real = async (all: Tensor): Promise<Tensor> =>
      (await all.realize()).maskedFill(isPadding.unsqueeze(-1), 0);
    // Another model from the same seed: what a mechanism draws is the same too.
    await expectClose(await real(encode(disturbed, keyMask)), await real(y), close);
  });

  it("compiles nothing after the first steps with all of them", async () => {
    const model = makeModel(hybrid);
    const state = model.initState({ batch: 1 });
    const step = async (i: number): Promise<void> => {
      const token = fromData(Int32Array.of(i % vocabulary), [1, 1]);
      const y = noGrad(() => model.next(token, { state }));
      await y.data();
      y.dispose();
    };
    for (let i = 0; i < 2; i++) await step(i);
    const { compileCount } = await profile(async () => {
      for (let i = 2; i < 20; i++) await step(i);
    });
    expect(compileCount).toBe(0);
  });

  it.each(names)("%s has gradients for every parameter, and learns", async (attention) => {
    const model = makeModel({ attention }).train();
    const tokens = someTokens();
    const targets = tokens.narrow(1, 1, length - 1).flatten();
    const nextLoss = (): Tensor =>
      crossEntropy(
        model
          .forward(tokens)
          .narrow(1, 0, length - 1)
          .flatten(0, 1),
        targets,
      );
    const loss = nextLoss();
    loss.backward();
    const gradients = [...model.namedParameters()].map(([name, { grad }]) => {
      expect(grad, name).not.toBeNull();
      return [name, grad!.abs().max()] as const;
    });
    await realize(loss, ...gradients.map(([, largest]) => largest));
    for (const [name, gradient] of gradients) {
      const largest = await gradient.item();
      expect(Number.isFinite(largest), name).toBe(true);
      // A key's bias moves all scores of a query alike, so that softmax does not feel it.
      if (!name.endsWith("wk.bias")) expect(largest, name).toBeGreaterThan(0);
    }
    for (const parameter of model.parameters()) {
      parameter.assign(parameter.detach().sub(parameter.grad!.mul(0.05)));
    }
    await realize(...model.parameters());
    expect(await noGrad(nextLoss).item()).toBeLessThan(await loss.item());
  });
});
