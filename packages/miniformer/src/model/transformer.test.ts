import { beforeAll, describe, expect, test } from "vitest";
import { cat, fromData, manualSeed, noGrad, setDevice, tensor, type Tensor } from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { devices } from "../../test/devices.js";
import type { TransformerOptions } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { Transformer } from "./transformer.js";

const close = { relative: 2e-4, absolute: 1e-5, relativeTo: "largest" } as const;
const sizes = { vocabSize: 23, dModel: 16, nHeads: 4, nLayers: 2, dFf: 24, maxSeqLen: 24 };

function make(options: TransformerOptions = {}): Transformer {
  manualSeed(5);
  const config = new TransformerConfig({
    ...sizes,
    outputDim: 23,
    initializerRange: 0.3,
    ...options,
  });
  return new Transformer(config).eval();
}

function tokensOf(batch: number, length: number): Tensor {
  const numbers = Int32Array.from(
    { length: batch * length },
    (_, i) => 1 + ((i * 7 + (i % 5)) % 22),
  );
  return fromData(numbers, [batch, length]);
}

/** The outputs of calls on parts of the sequence, joined. */
async function inParts(
  model: Transformer,
  tokens: Tensor,
  lengths: readonly number[],
  keyMask: Tensor | null = null,
): Promise<Tensor> {
  const state = model.initState({
    batch: tokens.shape[0]!,
    capacity: tokens.shape[1]! + 3,
    masked: keyMask !== null,
  });
  const parts: Tensor[] = [];
  let start = 0;
  for (const length of lengths) {
    const mask = keyMask?.narrow(1, start, length) ?? null;
    const part = noGrad(() =>
      model.forward(tokens.narrow(1, start, length), { state, keyMask: mask }),
    );
    await part.data();
    parts.push(part);
    start += length;
  }
  return cat(parts, 1);
}

const kinds: readonly (readonly [name: string, options: TransformerOptions])[] = [
  ["learned", {}],
  ["sinusoidal", { positions: "sinusoidal" }],
  ["no positions", { positions: "none" }],
  ["rotary", { positions: "rotary" }],
  [
    "rotary of half a head, interleaved",
    { positions: "rotary", rotaryPct: 0.5, rotaryLayout: "interleaved" },
  ],
  ["scaled rotary", { positions: "rotary", rotaryScaling: { type: "linear", factor: 2 } }],
  ["ALiBi", { positions: "alibi", nHeads: 3, headDim: 4 }],
  ["a window", { slidingWindow: 4 }],
  ["ALiBi with a window", { positions: "alibi", slidingWindow: [5, null] }],
  ["grouped heads", { nKvHeads: 2, positions: "rotary" }],
  ["one key head", { nKvHeads: 1, positions: "rotary", slidingWindow: [null, 3] }],
  [
    "a Llama",
    { positions: "rotary", norm: "rms", activation: "swiglu", bias: false, finalNorm: true },
  ],
  ["post-norm", { preNorm: false, embeddingNorm: true, qkNorm: true, activation: "gelu_tanh" }],
  ["the reference", { compat: "reference" }],
];

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
  });

  test.each(kinds)("steps and chunks give what one call gives, with %s", async (_name, options) => {
    const model = make(options);
    const tokens = tokensOf(2, 14);
    const whole = noGrad(() => model.forward(tokens));
    expect(whole.shape).toEqual([2, 14, 23]);
    await expectClose(await inParts(model, tokens, [5, 1, 1, 4, 1, 2]), whole, close);
    const next = noGrad(() => model.next(tokens));
    await expectClose(next, whole.narrow(1, 13, 1).squeeze(1), close);
  });

  test.each(kinds.filter(([name]) => name !== "the reference"))(
    "padding anywhere has no influence, with %s",
    async (_name, options) => {
      const model = make(options);
      const tokens = tokensOf(1, 9);
      const whole = noGrad(() => model.forward(tokens));
      // The same tokens with padding on the left, on the right, and between.
      const places = [
        [3, 4, 5, 6, 7, 8, 9, 10, 11],
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
        [1, 2, 5, 6, 7, 9, 10, 11, 13],
      ];
      const rows = new Int32Array(3 * 14).fill(1);
      const mask = new Uint8Array(3 * 14);
      const numbers = await tokens.data();
      places.forEach((row, b) => {
        row.forEach((place, i) => {
          rows[b * 14 + place] = Number(numbers[i]);
          mask[b * 14 + place] = 1;
        });
      });
      const padded = fromData(rows, [3, 14]);
      const keyMask = fromData(mask, [3, 14]).cast("bool");
      const index = tensor(places, { dtype: "int32" }).unsqueeze(-1).expand([3, 9, 23]);
      const picked = (y: Tensor): Tensor => y.gather(1, index);
      const all = noGrad(() => model.forward(padded, { keyMask }));
      const expected = whole.expand([3, 9, 23]);
      await expectClose(picked(all), expected, close);
      await expectClose(
        picked(await inParts(model, padded, [6, 1, 1, 6], keyMask)),
        expected,
        close,
      );
      const next = noGrad(() => model.next(padded, { keyMask }));
      await expectClose(next, whole.narrow(1, 8, 1).squeeze(1).expand([3, 23]), close);
    },
  );
});
