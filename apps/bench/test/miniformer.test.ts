/** Every attention mechanism of the project in the models of @x/miniformer. */

import {
  arange,
  cat,
  fromData,
  getDevice,
  manualSeed,
  noGrad,
  profile,
  setDevice,
  type Tensor,
} from "@x/tensor";
import {
  registerAttention,
  Seq2SeqTransformer,
  Transformer,
  TransformerConfig,
  type LanguageModel,
  type TransformerOptions,
} from "@x/miniformer";
import { expectClose } from "@x/tensor/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { devices } from "../../../packages/tensor/test/devices.js";
import { mechanisms } from "../src/mechanisms/table.js";

const length = 18;
const close = { relative: 1e-3, absolute: 1e-4, relativeTo: "largest" } as const;

function configOf(attention: TransformerOptions["attention"], changes: TransformerOptions = {}) {
  return TransformerConfig.tiny({
    ...{ vocabSize: 11, dModel: 16, nHeads: 2, nLayers: 2, maxSeqLen: 24, attention },
    // Far from 0, so that attention is not the mean of all values.
    initializerRange: 0.2,
    ...changes,
  });
}

function tokensOf(batch: number): Tensor {
  const numbers = Int32Array.from({ length: batch * length }, (_, i) => (i * 7 + (i % 3)) % 11);
  return fromData(numbers, [batch, length]);
}

/** What a model gives for the parts of a sequence, one after the other. */
async function inParts(
  model: LanguageModel,
  tokens: Tensor,
  keyMask: Tensor | null = null,
): Promise<Tensor> {
  const state = model.initState({
    batch: tokens.shape[0]!,
    capacity: 24,
    masked: keyMask !== null,
  });
  const parts: Tensor[] = [];
  let start = 0;
  for (const size of [7, 1, 1, 6, 1, 2]) {
    const part = noGrad(() =>
      model.forward(tokens.narrow(1, start, size), {
        state,
        keyMask: keyMask?.narrow(1, start, size) ?? null,
      }),
    );
    await part.data();
    parts.push(part);
    start += size;
  }
  return cat(parts, 1);
}

const names = mechanisms.map(({ name }) => name);
const others = names.filter((name) => name !== "softmax");

/** One mechanism for all layers, and all of them in one model. */
const specs: readonly (readonly [name: string, options: TransformerOptions])[] = [
  ...names.map((name) => [name, { attention: name }] as const),
  ["a hybrid of all", { attention: names, nLayers: names.length }],
];

for (const [deviceName, device] of devices) {
  describe(`on ${deviceName}`, () => {
    const before = getDevice();
    beforeAll(() => {
      setDevice(device);
      for (const { name, make, needsNorm } of mechanisms) {
        if (name !== "softmax") registerAttention(name, { make, needsNorm });
      }
    });
    afterAll(() => {
      setDevice(before);
    });

    const make = ({ attention, ...changes }: TransformerOptions): Transformer => {
      manualSeed(3);
      return new Transformer(configOf(attention, changes)).eval();
    };

    it.each(specs)("%s gives step by step what it gives at once", async (_, options) => {
      const model = make(options);
      const tokens = tokensOf(2);
      const whole = noGrad(() => model.forward(tokens));
      await expectClose(await inParts(model, tokens), whole, close);
      const next = noGrad(() => model.next(tokens));
      await expectClose(next, whole.narrow(1, length - 1, 1).squeeze(1), close);
    });

    it.each(specs)("%s is not influenced by padding", async (_, options) => {
      const model = make({ ...options, positions: "rotary" });
      const tokens = tokensOf(2);
      const isReal = arange(length).ge(fromData(Int32Array.of(0, 4), [2, 1]));
      const disturbed = tokens.add(isReal.logicalNot().int()).remainder(11);
      const real = (y: Tensor): Tensor => y.narrow(1, 4, length - 4);
      const whole = noGrad(() => model.forward(tokens, { keyMask: isReal }));
      const again = noGrad(() => model.forward(disturbed, { keyMask: isReal }));
      await expectClose(real(again), real(whole), close);
      await expectClose(real(await inParts(model, tokens, isReal)), real(whole), close);
    });

    it.each(specs)("%s has states whose rows can be put in another order", async (_, options) => {
      const model = make({ ...options, positions: "rotary" });
      const tokens = tokensOf(2);
      const state = model.initState({ batch: 2, capacity: 24 });
      await noGrad(() => model.next(tokens.narrow(1, 0, 9), { state })).data();
      const order = fromData(Int32Array.of(1, 0), [2]);
      const swapped = Object.entries(state).map(
        ([name, x]) => [name, x.rank === 0 ? x.add(0) : x.indexSelect(0, order)] as const,
      );
      const other = { ...state, ...Object.fromEntries(swapped) };
      for (const x of Object.values(other)) await x.realize();
      const last = tokens.narrow(1, 9, 1);
      const expected = noGrad(() => model.next(last, { state })).indexSelect(0, order);
      const actual = noGrad(() => model.next(last.indexSelect(0, order), { state: other }));
      await expectClose(actual, expected, close);
    });

    it("compiles nothing after the first steps of a hybrid", async () => {
      const model = make({ attention: names, nLayers: names.length });
      const state = model.initState({ batch: 1 });
      const step = async (i: number): Promise<void> => {
        const y = noGrad(() => model.next(fromData(Int32Array.of(i % 11), [1, 1]), { state }));
        await y.data();
        y.dispose();
      };
      for (let i = 0; i < 3; i++) await step(i);
      const { compileCount } = await profile(async () => {
        for (let i = 3; i < 20; i++) await step(i);
      });
      expect(compileCount).toBe(0);
    });

    it.each(others)("%s has gradients in decoder and encoder–decoder", async (attention) => {
      manualSeed(3);
      const model = new Seq2SeqTransformer(configOf(attention, { tieEmbeddings: true }));
      model.forward(tokensOf(2), tokensOf(2)).square().mean().backward();
      for (const [name, { grad }] of model.namedParameters()) {
        expect(grad, name).not.toBeNull();
        const [largest] = await grad!.abs().max().data();
        expect(Number.isFinite(largest), name).toBe(true);
        // A key's bias moves all scores of a query alike, so that softmax does not feel it.
        if (!name.endsWith("wk.bias")) expect(largest, name).toBeGreaterThan(0);
      }
      const bound = model.eval().bind(tokensOf(2));
      const whole = noGrad(() => model.forward(tokensOf(2), tokensOf(2)));
      await expectClose(await inParts(bound, tokensOf(2)), whole, close);
    });
  });
}
