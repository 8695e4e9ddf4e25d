/** What the models of @x/miniformer make of the mechanisms: several in one, padding, states, two stacks. */

import { fromData, manualSeed, noGrad, realize, type Tensor } from "@x/tensor";
import { Seq2SeqTransformer } from "@x/miniformer";
import { expectClose } from "@x/tensor/testing";
import { expect, it } from "vitest";
import { devices } from "../../../packages/tensor/test/devices.js";
import {
  batch,
  close,
  configOf,
  describeOn,
  hybrid,
  inParts,
  length,
  makeModel,
  names,
  placesFrom,
  someTokens,
  vocabulary,
} from "./small-models.js";

describeOn(devices, () => {
  it("one with all of them gives step by step what it gives at once", async () => {
    const model = makeModel(hybrid);
    const tokens = someTokens();
    const whole = noGrad(() => model.forward(tokens));
    await expectClose(await inParts(model, tokens), whole, close);
    const next = noGrad(() => model.next(tokens));
    await expectClose(next, whole.narrow(1, length - 1, 1).squeeze(1), close);
  });

  it.each(names)("%s is not influenced by padding before a prompt", async (attention) => {
    const model = makeModel({ attention, nLayers: 2, positions: "rotary" });
    const tokens = someTokens();
    const isReal = placesFrom(0, 4);
    const disturbed = tokens.add(isReal.logicalNot().int()).remainder(vocabulary);
    const real = (y: Tensor): Tensor => y.narrow(1, 4, length - 4);
    const [whole, again] = [tokens, disturbed].map((all) =>
      real(noGrad(() => model.forward(all, { keyMask: isReal }))),
    );
    await expectClose(again!, whole!, close);
    await expectClose(real(await inParts(model, tokens, isReal)), whole!, close);
  });

  it.each(names)("%s has states whose rows can be put in another order", async (attention) => {
    const model = makeModel({ attention, positions: "rotary" });
    const tokens = someTokens();
    const state = model.initState({ batch, capacity: 24 });
    await noGrad(() => model.next(tokens.narrow(1, 0, 7), { state })).data();
    const order = fromData(Int32Array.of(1, 0), [2]);
    const swapped = Object.entries(state).map(
      ([name, x]) => [name, x.rank === 0 ? x.add(0) : x.indexSelect(0, order)] as const,
    );
    const other = { ...state, ...Object.fromEntries(swapped) };
    await realize(...Object.values(other));
    const last = tokens.narrow(1, 7, 1);
    const expected = noGrad(() => model.next(last, { state })).indexSelect(0, order);
    const actual = noGrad(() => model.next(last.indexSelect(0, order), { state: other }));
    await expectClose(actual, expected, close);
  });

  it.each(names)("%s has gradients in an encoder–decoder, which decodes", async (attention) => {
    manualSeed(3);
    const model = new Seq2SeqTransformer(
      configOf({ vocabSize: vocabulary, tieEmbeddings: true, attention }),
    );
    const tokens = someTokens();
    model.forward(tokens, tokens).square().mean().backward();
    for (const [name, { grad }] of model.namedParameters()) {
      expect(grad, name).not.toBeNull();
      const largest = await grad!.abs().max().item();
      expect(Number.isFinite(largest), name).toBe(true);
      // A key's bias moves all scores of a query alike, so that softmax does not feel it.
      if (!name.endsWith("wk.bias")) expect(largest, name).toBeGreaterThan(0);
    }
    const whole = noGrad(() => model.eval().forward(tokens, tokens));
    await expectClose(await inParts(model.bind(tokens), tokens), whole, close);
  });
});
