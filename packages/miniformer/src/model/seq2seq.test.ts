import { beforeAll, describe, expect, test } from "vitest";
import {
  arange,
  cat,
  manualSeed,
  memory,
  noGrad,
  profile,
  randn,
  setDevice,
  tensor,
  type Tensor,
} from "@x/tensor";
import { forkState } from "@x/tensor/nn";
import { expectClose } from "@x/tensor/testing";
import { devices } from "../../test/devices.js";
import { close, expectSteady, smallConfig, tokensOf } from "../../test/small-transformers.js";
import type { TransformerOptions } from "../config/fields.js";
import { Decoder } from "./decoder.js";
import { Seq2SeqTransformer } from "./seq2seq.js";

function make(options: TransformerOptions = {}): Seq2SeqTransformer {
  manualSeed(9);
  return new Seq2SeqTransformer(smallConfig(options)).eval();
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
  });

  test("a bound model decodes, for several beams of each source, as calls on the whole do", async () => {
    for (const options of [{}, { positions: "rotary", nKvHeads: 1, nDecoderLayers: 1 }] as const) {
      const model = make(options);
      const source = tokensOf(2, 7);
      const keyMask = arange(7).lt(tensor([[7], [4]]));
      const target = tokensOf(4, 6);
      const twice = (x: Tensor): Tensor => x.repeatInterleave(2, 0);
      const whole = noGrad(() =>
        model.forward(twice(source), target, { sourceKeyMask: twice(keyMask) }),
      );
      const bound = model.bind(source, { keyMask });
      await expectClose(bound.forward(target), whole, close);
      await expectClose(bound.next(target), whole.narrow(1, 5, 1).squeeze(1), close);
      const state = bound.initState({ batch: 4, capacity: 8 });
      const parts: Tensor[] = [];
      // Where a part begins would be a number in the plan of its step.
      const ranges = [
        [0, 3],
        [3, 1],
        [4, 1],
        [5, 1],
      ] as const;
      const pieces = await Promise.all(
        ranges.map(([start, length]) => target.narrow(1, start, length).realize()),
      );
      const step = async (piece: number): Promise<void> => {
        const part = noGrad(() => bound.forward(pieces[piece]!, { state }));
        await part.data();
        parts.push(part);
      };
      await step(0);
      await step(1);
      const { compileCount } = await profile(() => step(2));
      expect(compileCount).toBe(0);
      const fork = forkState(state);
      await step(3);
      await expectClose(cat(parts, 1), whole, close);
      const again = bound.next(target.narrow(1, 5, 1), { state: fork });
      await expectClose(again, whole.narrow(1, 5, 1).squeeze(1), close);
      expect(() => bound.initState({ batch: 3 })).toThrow(
        "a multiple of that of the source, 2, got 3",
      );
    }
  });

  test("every parameter has a gradient, and the source matters only where it is not padding", async () => {
    const model = make().train();
    const source = tokensOf(2, 5);
    const sourceKeyMask = arange(5).lt(tensor([[5], [3]]));
    const target = tokensOf(2, 4);
    const y = model.forward(source, target, { sourceKeyMask });
    y.square().mean().backward();
    for (const [name, { grad }] of model.namedParameters()) {
      expect(grad, name).not.toBeNull();
      expect(await grad!.abs().max().item(), name).toBeGreaterThan(0);
    }
    const disturbed = source.add(sourceKeyMask.logicalNot().int());
    const other = model.forward(disturbed, target, { sourceKeyMask });
    expect(Array.from(await other.data())).toEqual(Array.from(await y.data()));
    const { output, selfAttention, crossAttention } = model.forwardWithWeights(source, target, {
      sourceKeyMask,
    });
    await expectClose(output, y, close);
    expect(selfAttention.map(({ shape }) => shape)).toEqual([
      [2, 4, 4, 4],
      [2, 4, 4, 4],
    ]);
    expect(crossAttention.map(({ shape }) => shape)).toEqual([
      [2, 4, 4, 5],
      [2, 4, 4, 5],
    ]);
    const past = await selfAttention[0]!.triu(1).abs().max().item();
    expect(past).toBe(0);
  });

  test("features on both sides, or features to tokens", async () => {
    const both = make({ vocabSize: null, inputDim: 5, outputDim: 2 });
    expect(both.forward(randn([2, 6, 5]), randn([2, 4, 5])).shape).toEqual([2, 4, 2]);
    const mixed = make({ inputDim: 5 });
    const logits = mixed.forward(randn([2, 6, 5]), tokensOf(2, 4));
    expect(logits.shape).toEqual([2, 4, 23]);
    expect(Object.keys(mixed.stateDict())).toContain("decoder.position_encoding.weight");
  });

  test("decoding takes no more memory from step to step", async () => {
    const bound = make().bind(tokensOf(1, 7));
    const state = bound.initState({ batch: 1, capacity: 16 });
    const sizes: number[] = [];
    for (let i = 0; i < 12; i++) {
      const y = noGrad(() => bound.next(tensor([[i]], { dtype: "int32" }), { state }));
      await y.data();
      y.dispose();
      sizes.push(memory().total);
    }
    expectSteady(sizes);
  });
});

test("embeddings are shared where asked for, and tied to the output where asked for", () => {
  const keys = (options: TransformerOptions): number => make(options).parameters().length;
  expect(keys({ shareEmbeddings: false })).toBe(keys({}) + 1);
  expect(keys({ tieEmbeddings: true })).toBe(keys({}) - 2);
});

test("what does not fit is refused", () => {
  const model = make();
  expect(() => model.forward(tokensOf(2, 5), tokensOf(3, 4))).toThrow(
    "the memory must be [3, keys, 16]",
  );
  expect(() => make({ nDecoderLayers: 1, slidingWindow: [2, 2] })).toThrow(
    "each of 1 layers, got 2",
  );
  const decoder = new Decoder(model.config);
  expect(() => decoder.forward(tokensOf(1, 2), null)).toThrow(
    "a memory must be given, or be in the state",
  );
  expect(() => make({ useCausalMask: false }).bind(tokensOf(1, 3)).initState({ batch: 1 })).toThrow(
    "a decode state needs a causal model",
  );
});
