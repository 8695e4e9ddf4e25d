import { beforeAll, describe, expect, test } from "vitest";
import {
  arange,
  cat,
  fromData,
  manualSeed,
  memory,
  noGrad,
  ones,
  profile,
  randn,
  setDevice,
  tensor,
  type Tensor,
} from "@x/tensor";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../test/devices.js";
import {
  close,
  expectSteady,
  inParts,
  smallConfig,
  tokensOf,
} from "../../test/small-transformers.js";
import type { TransformerOptions } from "../config/fields.js";
import { TiedProjection } from "./output.js";
import { Transformer } from "./transformer.js";

function make(options: TransformerOptions = {}): Transformer {
  manualSeed(5);
  return new Transformer(smallConfig(options)).eval();
}

/** The outputs of calls on parts of the sequence, joined. */
async function outputsInParts(
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
  return inParts(lengths, (start, length) => {
    const mask = keyMask?.narrow(1, start, length) ?? null;
    return model.forward(tokens.narrow(1, start, length), { state, keyMask: mask });
  });
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
    await expectClose(await outputsInParts(model, tokens, [5, 1, 1, 4, 1, 2]), whole, close);
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
        picked(await outputsInParts(model, padded, [6, 1, 1, 6], keyMask)),
        expected,
        close,
      );
      const next = noGrad(() => model.next(padded, { keyMask }));
      await expectClose(next, whole.narrow(1, 8, 1).squeeze(1).expand([3, 23]), close);
    },
  );

  test("no position has any influence on those before it", async () => {
    for (const options of [
      {},
      { positions: "alibi" },
      { positions: "rotary", slidingWindow: 3 },
    ] as const) {
      const model = make(options);
      const tokens = tokensOf(1, 12);
      const late = arange(12).ge(7).int();
      const before = await model.forward(tokens).narrow(1, 0, 7).data();
      const changed = tokens.add(late).remainder(23);
      const after = model.forward(changed);
      expect(Array.from(await after.narrow(1, 0, 7).data())).toEqual(Array.from(before));
      const difference = after.sub(model.forward(tokens)).abs().amax([0, 2]);
      expect((await difference.narrow(0, 7, 5).data()).every((x) => Number(x) > 0)).toBe(true);
    }
  });

  test("a window reaches as far as the layers carry it, and no further", async () => {
    const model = make({ slidingWindow: 3, nLayers: 1 });
    const tokens = tokensOf(1, 12);
    const changed = tokens.add(arange(12).eq(4).int()).remainder(23);
    const difference = model.forward(changed).sub(model.forward(tokens)).abs().amax([0, 2]);
    const touched = Array.from(await difference.gt(0).data(), Number);
    expect(touched).toEqual([0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0]);
    const encoder = make({ slidingWindow: 3, nLayers: 1, causal: false });
    const both = encoder.forward(changed).sub(encoder.forward(tokens)).abs().amax([0, 2]);
    expect(Array.from(await both.gt(0).data(), Number)).toEqual([
      0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    ]);
  });

  test("every parameter has a gradient, the same where layers compute again", async () => {
    const options = {
      tokenTypes: 2,
      embeddingNorm: true,
      finalNorm: true,
      qkNorm: true,
      nKvHeads: 2,
    };
    const gradients = async (checkpoint: boolean): Promise<number[]> => {
      const model = make({ ...options, checkpoint, dropout: 0.1, attentionDropout: 0.1 }).train();
      const tokenTypes = tokensOf(2, 6).remainder(2);
      manualSeed(11);
      model.forward(tokensOf(2, 6), { tokenTypes }).square().mean().backward();
      const all: number[] = [];
      for (const [name, { grad }] of model.namedParameters()) {
        expect(grad, name).not.toBeNull();
        const numbers = Array.from(await grad!.data(), Number);
        expect(numbers.every(Number.isFinite), name).toBe(true);
        expect(
          numbers.some((x) => x !== 0),
          name,
        ).toBe(true);
        all.push(...numbers);
      }
      return all;
    };
    const plain = await gradients(false);
    await expectClose(await gradients(true), plain, { ...close, relative: 1e-4 });
  });

  test("decoding compiles nothing and takes no more memory after the first steps", async () => {
    for (const masked of [false, true]) {
      const model = make({ positions: "rotary", slidingWindow: [4, null] });
      const state = model.initState({ batch: 2, masked });
      const step = async (i: number): Promise<number> => {
        const y = noGrad(() => model.next(tensor([[i], [i + 1]], { dtype: "int32" }), { state }));
        await y.data();
        y.dispose();
        return memory().total;
      };
      for (let i = 0; i < 3; i++) await step(i);
      const { result, compileCount } = await profile(async () => {
        const sizes: number[] = [];
        for (let i = 3; i < 20; i++) sizes.push(await step(i));
        return sizes;
      });
      expect(compileCount).toBe(0);
      expectSteady(result);
      expect(await state.position.toArray()).toEqual([20, 20]);
    }
  });

  test("pooling is over real positions only", async () => {
    const x = randn([1, 5, 3]);
    const padded = cat([x.narrow(1, 0, 2), ones([1, 2, 3]), x.narrow(1, 2, 3)], 1);
    const keyMask = tensor([[true, true, false, false, true, true, true]]);
    for (const pooling of ["first", "last", "mean", "max"] as const) {
      const model = make({
        vocabSize: null,
        inputDim: 3,
        outputDim: 4,
        pooling,
        positions: "rotary",
      });
      const whole = model.forward(x);
      expect(whole.shape).toEqual([1, 4]);
      await expectClose(model.forward(padded, { keyMask }), whole, close);
    }
    const bert = make({ causal: false, pooler: true, outputDim: null, finalNorm: true });
    const hidden = bert.hidden(tokensOf(2, 5)).narrow(1, 0, 1).squeeze(1);
    const pooled = bert.forwardPooled(tokensOf(2, 5));
    await expectClose(pooled, bert.pooler!.forward(hidden).tanh(), close);
    expect(pooled.shape).toEqual([2, 16]);
  });

  test("attention weights are given for every layer", async () => {
    const model = make({ positions: "alibi" });
    const { output, weights } = model.forwardWithWeights(tokensOf(2, 5));
    await expectClose(output, model.forward(tokensOf(2, 5)), close);
    expect(weights.map(({ shape }) => shape)).toEqual([
      [2, 4, 5, 5],
      [2, 4, 5, 5],
    ]);
    await expectClose(weights[1]!.sum(-1), ones([2, 4, 5]), close);
  });
});

test("the names of the original, and the output tied where it ties it", () => {
  const keys = (options: TransformerOptions): string[] => Object.keys(make(options).stateDict());
  expect(keys({ nLayers: 1, norm: "rms", bias: false, activation: "swiglu" })).toEqual([
    "encoder.token_embedding.weight",
    "encoder.pos_embedding.weight",
    ...["q", "k", "v", "o"].map((name) => `encoder.layers.0.self_attention.w${name}.weight`),
    "encoder.layers.0.feed_forward.w12.weight",
    "encoder.layers.0.feed_forward.proj.weight",
    "encoder.layers.0.norm1.weight",
    "encoder.layers.0.norm2.weight",
    "token_embedding.weight",
    "output_projection.weight",
  ]);
  const compat = "reference";
  for (const [options, isTied] of [
    [{ outputDim: null, tieEmbeddings: true }, true],
    [{ compat }, true],
    [{ compat, outputDim: 7 }, false],
    [{ compat, outputDim: null, vocabSize: 160 }, true],
    [{}, false],
  ] as const) {
    const model = make(options);
    expect(model.outputProjection instanceof TiedProjection).toBe(isTied);
    const { weight } = model.tokenEmbedding!;
    expect(model.stateDict()["output_projection.weight"] === weight).toBe(isTied);
  }
  for (const options of [{ outputDim: null }, { compat, outputDim: 16 }] as const) {
    expect(make(options).outputProjection).toBeNull();
  }
});

test("what does not fit is refused", () => {
  const model = make();
  const refused = (fn: () => unknown, sentence: string): void => {
    expect(fn).toThrow(sentence);
  };
  refused(
    () => model.forward(ones([2, 3])),
    "tokens must be int32 [batch, length] with at least one",
  );
  refused(() => model.forward(tokensOf(1, 25)), "learned positions end at maxSeqLen 24, got 25");
  refused(() => model.forwardPooled(tokensOf(1, 2)), "needs a model with a pooler");
  refused(
    () => make({ vocabSize: null, inputDim: 3 }).forward(ones([1, 2, 4])),
    "[batch, length, 3]",
  );
  refused(() => make({ inputDim: 3 }), "vocabSize or inputDim must be null");
  refused(
    () => make({ experts: { count: 2, topK: 1 } }),
    "a configuration with experts needs the module",
  );
  refused(
    () => make({ causal: false }).initState({ batch: 1 }),
    "a decode state needs a causal model",
  );
  const state = model.initState({ batch: 2, capacity: 4 });
  refused(
    () => model.forward(tokensOf(1, 2), { state }),
    "its position as int32 [1], got int32 [2]",
  );
  refused(() => model.forward(tokensOf(2, 5), { state }), "the state has room for 4 tokens, got 5");
  const keyMask = ones([2, 1], { dtype: "bool" });
  refused(
    () => model.forward(tokensOf(2, 1), { state, keyMask }),
    "needs a state that was made for masks",
  );
  refused(
    () => model.forward(tokensOf(2, 1), { keyMask: ones([2, 1]) }),
    "the key mask must be bool",
  );
  const pooled = make({ pooling: "mean" });
  refused(
    () => pooled.forward(tokensOf(1, 2), { state: pooled.initState({ batch: 1 }) }),
    "pooling needs the whole sequence",
  );
  expect(codeOf(() => model.forward(ones([2, 3])))).toBe("shape");
});
