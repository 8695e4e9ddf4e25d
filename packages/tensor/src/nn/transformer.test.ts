import { beforeAll, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { setDevice } from "../device/current.js";
import { AdamW, clipGradNorm } from "../optim/index.js";
import { profile } from "../plan/profile.js";
import { manualSeed, randn } from "../random/index.js";
import { tensor } from "../tensor/creation.js";
import { crossEntropy } from "../tensor/losses.js";
import { memory } from "../tensor/realize.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkGradients, expectClose } from "../testing/index.js";
import {
  Embedding,
  LayerNorm,
  Linear,
  Module,
  TransformerDecoder,
  TransformerDecoderLayer,
  TransformerEncoder,
  TransformerEncoderLayer,
} from "./index.js";

const tolerance = { relative: 1e-5, absolute: 2e-6 };
const sizes = { dModel: 8, nHead: 2, dimFeedforward: 12, dropout: 0 };

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(0);
  });

  test.each([
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])("an encoder, norm first: %s, batch first: %s", async (normFirst, batchFirst) => {
    const options = { ...sizes, normFirst, batchFirst, activation: "gelu" } as const;
    const layer = new TransformerEncoderLayer(options);
    const encoder = new TransformerEncoder(layer, { numLayers: 2, norm: new LayerNorm(8) });
    const src = await randn(batchFirst ? [3, 5, 8] : [5, 3, 8]).realize();
    const result = encoder.forward(src, { isCausal: true });
    expect(result.shape).toEqual(src.shape);

    // Layer by layer, with the formula.
    let x = src;
    for (const { selfAttn, linear1, linear2, norm1, norm2 } of encoder.layers) {
      const attend = (y: Tensor): Tensor => selfAttn.forward(y, y, y, { isCausal: true }).output;
      const feed = (y: Tensor): Tensor => linear2.forward(linear1.forward(y).gelu());
      if (normFirst) {
        x = x.add(attend(norm1.forward(x)));
        x = x.add(feed(norm2.forward(x)));
      } else {
        x = norm1.forward(x.add(attend(x)));
        x = norm2.forward(x.add(feed(x)));
      }
    }
    await expectClose(result, await encoder.norm!.forward(x).data(), tolerance);

    const mask = tensor(Array.from({ length: 5 }, (_, i) => [0, 1, 2, 3, 4].map((j) => j > i)));
    await expectClose(encoder.forward(src, { mask }), await result.data(), tolerance);
  });

  test("padding has no influence on the rest", async () => {
    const layer = new TransformerEncoderLayer({ ...sizes, batchFirst: true });
    const encoder = new TransformerEncoder(layer, { numLayers: 2 });
    const src = await randn([2, 6, 8]).realize();
    const keyPadding = tensor([
      [false, false, false, false, true, true],
      [false, false, false, false, true, true],
    ]);
    const padded = encoder.forward(src, { srcKeyPaddingMask: keyPadding });
    const cut = encoder.forward(src.narrow(1, 0, 4));
    await expectClose(padded.narrow(1, 0, 4), await cut.data(), tolerance);
  });

  test.each([true, false])("a decoder, norm first: %s", async (normFirst) => {
    const layer = new TransformerDecoderLayer({ ...sizes, normFirst, batchFirst: true });
    const decoder = new TransformerDecoder(layer, { numLayers: 2, norm: new LayerNorm(8) });
    const tgt = await randn([2, 4, 8]).realize();
    const source = await randn([2, 5, 8]).realize();
    const result = decoder.forward(tgt, source, { tgtIsCausal: true });

    let x = tgt;
    for (const block of decoder.layers) {
      const attend = (y: Tensor): Tensor =>
        block.selfAttn.forward(y, y, y, { isCausal: true }).output;
      const look = (y: Tensor): Tensor => block.multiheadAttn.forward(y, source).output;
      const feed = (y: Tensor): Tensor => block.linear2.forward(block.linear1.forward(y).relu());
      if (normFirst) {
        x = x.add(attend(block.norm1.forward(x)));
        x = x.add(look(block.norm2.forward(x)));
        x = x.add(feed(block.norm3.forward(x)));
      } else {
        x = block.norm1.forward(x.add(attend(x)));
        x = block.norm2.forward(x.add(look(x)));
        x = block.norm3.forward(x.add(feed(x)));
      }
    }
    await expectClose(result, await decoder.norm!.forward(x).data(), tolerance);

    const masks = {
      tgtKeyPaddingMask: tensor([0, 0].map(() => [false, false, false, true])),
      memoryKeyPaddingMask: tensor([0, 0].map(() => [false, false, true, true, true])),
      memoryMask: tensor([0, 1, 2, 3].map(() => [false, false, false, false, true])),
    };
    const padded = decoder.forward(tgt, source, { ...masks, tgtIsCausal: true });
    const cut = decoder.forward(tgt.narrow(1, 0, 3), source.narrow(1, 0, 2), {
      tgtIsCausal: true,
    });
    await expectClose(padded.narrow(1, 0, 3), await cut.data(), tolerance);
  });

  test("layers start alike and are trained apart", async () => {
    const layer = new TransformerEncoderLayer(sizes);
    const encoder = new TransformerEncoder(layer, { numLayers: 2 });
    const [first, second] = [...encoder.layers];
    const weight = await first!.linear1.weight.data();
    expect(await second!.linear1.weight.data()).toEqual(weight);
    expect(await layer.linear1.weight.data()).toEqual(weight);
    expect(first!.linear1.weight).not.toBe(second!.linear1.weight);
    expect(new Set(encoder.parameters()).size).toBe(24);
  });

  test("an activation may be a function", () => {
    const layer = new TransformerEncoderLayer({ ...sizes, activation: (x) => x.sin() });
    const encoder = new TransformerEncoder(layer, { numLayers: 2 });
    expect(encoder.layers[1]!.activation).toBe(layer.activation);
  });

  test("a language model learns, compiles once, and keeps its memory", async () => {
    class Model extends Module {
      readonly embedding = new Embedding(16, 8);
      readonly encoder = new TransformerEncoder(
        new TransformerEncoderLayer({ ...sizes, dropout: 0.05, batchFirst: true, normFirst: true }),
        { numLayers: 2, norm: new LayerNorm(8) },
      );
      readonly head = new Linear(8, 16);

      forward(tokens: Tensor): Tensor {
        const x = this.embedding.forward(tokens);
        return this.head.forward(this.encoder.forward(x, { isCausal: true }));
      }
    }
    const model = new Model();
    const optimizer = new AdamW(model.parameters(), { lr: 0.02 });
    const text = [0, 1, 2].map((row) => Array.from({ length: 9 }, (_, i) => (row + 3 * i) % 16));
    const losses: number[] = [];
    const compiled: number[] = [];
    const memories: number[] = [];
    for (let i = 0; i < 25; i++) {
      const { compileCount } = await profile(async () => {
        const tokens = tensor(text, { dtype: "int32" });
        optimizer.zeroGrad();
        const logits = model.forward(tokens.narrow(1, 0, 8));
        const target = tokens.narrow(1, 1, 8);
        const loss = crossEntropy(logits.flatten(0, 1), target.flatten());
        loss.backward();
        const norm = clipGradNorm(model.parameters(), 1);
        await optimizer.step();
        losses.push(await loss.item());
        loss.dispose();
        norm.dispose();
      });
      compiled.push(compileCount);
      memories.push(memory().total);
    }
    // One plan draws the initial numbers, one does the step.
    expect(compiled).toEqual([2, ...new Array<number>(24).fill(0)]);
    // The garbage collector may give back what earlier tests left; nothing is added.
    expect(Math.max(...memories.slice(2))).toBeLessThanOrEqual(memories[1]!);
    expect(losses.at(-1)).toBeLessThan(0.7 * losses[0]!);
  });
});

test("gradients agree with differences", async () => {
  const { reference } = await import("../reference/device.js");
  setDevice(reference());
  const layer = new TransformerDecoderLayer({ ...sizes, batchFirst: true, activation: "tanh" });
  await checkGradients(
    (tgt, source) => layer.forward(tgt, source, { tgtIsCausal: true }),
    [randn([1, 3, 8]), randn([1, 2, 8])],
    { samples: 8, relative: 1e-5 },
  );
});

test("sizes are checked", () => {
  expect(() => new TransformerEncoderLayer({ dModel: 8, nHead: 3 })).toThrow(
    "MultiheadAttention: embedDim must be a multiple of numHeads (3), got 8.",
  );
  expect(() => new TransformerDecoderLayer({ dModel: 8, nHead: 2, dimFeedforward: NaN })).toThrow(
    "TransformerDecoderLayer: dimFeedforward must be a whole number of at least 1, got NaN.",
  );
  expect(
    () => new TransformerEncoder(new TransformerEncoderLayer(sizes), { numLayers: 0 }),
  ).toThrow("TransformerEncoder: numLayers must be a whole number of at least 1, got 0.");
  expect(() => new TransformerEncoderLayer({ ...sizes, activation: "nothing" as "relu" })).toThrow(
    "activationByName: the activation must be a function or one of relu, gelu,",
  );
});
