import { beforeAll, describe, expect, test } from "vitest";
import { manualSeed, ones, randn, setDevice, tensor, type Tensor } from "@x/tensor";
import { SoftmaxAttention, type AttentionMechanism } from "@x/tensor/nn";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../test/devices.js";
import { inParts } from "../../test/small-transformers.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { MultiHeadAttention, type Projections } from "./attention.js";
import { Transformer } from "./transformer.js";
import type { AttentionGuide } from "./visibility.js";

const close = { relative: 1e-4, absolute: 1e-6, relativeTo: "largest" } as const;

/** Sees three positions: its own and two before. */
class SlidingWindowAttention extends MultiHeadAttention {
  override attend(heads: Projections, guide: AttentionGuide): Tensor {
    const distance = guide.queryPositions.sub(guide.keyPositions);
    return super.attend(heads, guide.and(distance.lt(3)));
  }
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(7);
  });

  test("weights are those of the result, with masks of all kinds", async () => {
    const attention = new MultiHeadAttention({ dModel: 8, nHeads: 2, nKvHeads: 1 });
    const [x, memory] = [randn([2, 3, 8]), randn([2, 5, 8])];
    const keyMask = tensor([
      [true, true, true, true, false],
      [false, true, true, false, true],
    ]);
    const mask = tensor([
      [true, false, true, true, true],
      [true, true, true, true, true],
      [false, false, false, false, true],
    ]);
    for (const call of [{}, { memory }, { memory, keyMask }, { memory, keyMask, mask }]) {
      const { output, weights } = attention.forwardWithWeights(x, call);
      const keys = call.memory === undefined ? 3 : 5;
      expect(weights.shape).toEqual([2, 2, 3, keys]);
      const { value } = attention.project(x, call.memory);
      const heads = weights.matmul(value).transpose(1, 2).flatten(2);
      await expectClose(attention.wo.forward(heads), output, close);
    }
    const { output, weights } = attention.forwardWithWeights(x, { memory, keyMask, mask });
    // The last query of the first sequence sees nothing.
    expect(await weights.narrow(0, 0, 1).narrow(2, 2, 1).abs().sum().item()).toBe(0);
    await expectClose(
      output.narrow(0, 0, 1).narrow(1, 2, 1),
      attention.wo.forward(ones([1, 1, 8]).mul(0)),
      close,
    );
    const original = new MultiHeadAttention({ dModel: 8, nHeads: 2, compat: "reference" });
    const all = original.forwardWithWeights(x, { memory, keyMask, mask }).weights;
    await expectClose(all.narrow(0, 0, 1).narrow(2, 2, 1), ones([1, 2, 1, 5]).mul(0.2), close);
  });

  test("a class that attends in another way works in models, with a cache and padding too", async () => {
    const config = new TransformerConfig({
      ...{ vocabSize: 11, dModel: 8, nHeads: 2, nLayers: 2, outputDim: 11, maxSeqLen: 12 },
      initializerRange: 0.4,
    });
    const ours = new Transformer(config, {
      attention: (options, { kind }) => {
        expect(kind).toBe("self");
        return new SlidingWindowAttention(options);
      },
    }).eval();
    const builtIn = new Transformer(config.with({ slidingWindow: 3 })).eval();
    builtIn.loadStateDict(ours.stateDict());
    const tokens = tensor([[3, 1, 4, 1, 5, 9, 2, 6, 5]], { dtype: "int32" });
    const whole = builtIn.forward(tokens);
    await expectClose(ours.forward(tokens), whole, close);
    const keyMask = ones([1, 9], { dtype: "bool" });
    await expectClose(ours.forward(tokens, { keyMask }), whole, close);
    const state = ours.initState({ batch: 1, capacity: 12, masked: true });
    const joined = await inParts([4, 1, 4], (start, length) =>
      ours.forward(tokens.narrow(1, start, length), {
        state,
        keyMask: keyMask.narrow(1, start, length),
      }),
    );
    await expectClose(joined, whole, close);
    const other = new Transformer(config).eval();
    other.loadStateDict(ours.stateDict());
    expect(await other.forward(tokens).sub(whole).abs().max().item()).toBeGreaterThan(1e-2);
  });

  test("a module by itself decodes, with and without a mechanism", async () => {
    for (const mechanism of [null, new SoftmaxAttention()]) {
      const attention = new MultiHeadAttention({ dModel: 8, nHeads: 2, mechanism }).eval();
      const x = await randn([2, 6, 8]).realize();
      const whole = attention.forward(x, { isCausal: true });
      const state = attention.initState({ batch: 2, capacity: 6 });
      const joined = await inParts([4, 1, 1], (start, length) =>
        attention.forward(x.narrow(1, start, length), { state }),
      );
      await expectClose(joined, whole, close);
      expect(await state.length!.item()).toBe(6);
      expect(() => attention.forward(x.narrow(1, 0, 1), { state })).toThrow(
        "room for 6 tokens, got 7",
      );
    }
  });
});

test("what does not fit is refused", () => {
  const attention = new MultiHeadAttention({ dModel: 8, nHeads: 2 });
  const x = ones([1, 3, 8]);
  expect(() => attention.forward(ones([3, 8]))).toThrow(
    "the query must have the axes [batch, length, 8]",
  );
  expect(() => attention.forward(x, { memory: ones([1, 3, 7]) })).toThrow("memory must be 8");
  expect(() => attention.forward(x, { keyMask: ones([1, 4], { dtype: "bool" }) })).toThrow(
    "key mask must",
  );
  expect(() => new MultiHeadAttention({ dModel: 9, nHeads: 2 })).toThrow(
    "headDim must be a whole number",
  );
  expect(() => new MultiHeadAttention({ dModel: 8, nHeads: 4, nKvHeads: 3 })).toThrow(
    "must divide nHeads",
  );
  const state = attention.initState({ batch: 1, capacity: 4 });
  const keyMask = ones([1, 3], { dtype: "bool" });
  expect(() => attention.forward(x, { state, keyMask })).toThrow(
    "needs a state that was made for masks",
  );
  const mechanism: AttentionMechanism = { forward: (query) => query };
  const stateless = new MultiHeadAttention({ dModel: 8, nHeads: 2, mechanism });
  expect(() => stateless.initState({ batch: 1, capacity: 4 })).toThrow(
    "initState() and step(), got Object",
  );
  expect(() => stateless.forward(x, { state })).toThrow("a mechanism with step(), got Object");
  expect(() => stateless.forwardWithWeights(x)).toThrow("need softmax attention, got Object");
  expect(codeOf(() => stateless.forwardWithWeights(x))).toBe("argument");
});
