/**
 * Decoding with every mechanism: with a state, and without, it gives the same, whatever the positions
 * and the heads; a batch gives what each prompt gives alone; beams are those of a search through everything.
 */

import {
  cat,
  fromData,
  getDevice,
  manualSeed,
  noGrad,
  setDevice,
  tensor,
  type Tensor,
} from "@x/tensor";
import {
  generate,
  registerAttention,
  Seq2SeqTransformer,
  Transformer,
  TransformerConfig,
  type TransformerOptions,
} from "@x/miniformer";
import { expectClose } from "@x/tensor/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { devices } from "../../../packages/tensor/test/devices.js";
import { mechanisms } from "../src/mechanisms/table.js";

const close = { relative: 1e-3, absolute: 1e-4, relativeTo: "largest" } as const;

/** A model whose logits are far apart, so that rounding does not decide what comes next. */
function modelOf(attention: string, options: TransformerOptions = {}): Transformer {
  manualSeed(3);
  const config = TransformerConfig.tiny({
    ...{ vocabSize: 13, dModel: 16, nHeads: 4, nLayers: 2, dFf: 32, maxSeqLen: 24 },
    initializerRange: 0.4,
    attention,
    ...options,
  });
  return new Transformer(config).eval();
}

/** Positions of every kind, and heads that share keys; what only softmax has stands below. */
const kinds: readonly (readonly [name: string, options: TransformerOptions])[] = [
  ["learned positions", { positions: "learned" }],
  ["sinusoidal positions", { positions: "sinusoidal" }],
  ["no positions", { positions: "none" }],
  ["rotary positions", { positions: "rotary", rotaryLayout: "half" }],
  ["interleaved rotary positions", { positions: "rotary", rotaryLayout: "interleaved" }],
  ["partial rotary positions", { positions: "rotary", rotaryPct: 0.5 }],
  ["grouped heads", { positions: "rotary", nKvHeads: 2 }],
  ["one head of keys", { positions: "learned", nKvHeads: 1 }],
];

const kindsOfSoftmax: typeof kinds = [
  ["ALiBi", { positions: "alibi" }],
  ["a window", { positions: "rotary", slidingWindow: 5 }],
  ["ALiBi, a window and grouped heads", { positions: "alibi", slidingWindow: 4, nKvHeads: 2 }],
];

const combinations = mechanisms.flatMap(({ name }) =>
  [...kinds, ...(name === "softmax" ? kindsOfSoftmax : [])].map(
    ([kind, options]) => [name, kind, options] as const,
  ),
);

/** Every sequence of the vocabulary after the prompt, with the logarithm of its probability. */
async function everySequence(
  model: Transformer,
  prompt: readonly number[],
  length: number,
): Promise<{ tokens: number[]; score: number }[]> {
  const vocabSize = model.config.vocabSize!;
  const all = Array.from({ length: vocabSize ** length }, (_, i) =>
    Array.from({ length }, (_, place) => Math.floor(i / vocabSize ** place) % vocabSize),
  );
  const tokens = tensor(
    all.map((row) => [...prompt, ...row]),
    { dtype: "int32" },
  );
  const logits = noGrad(() => model.forward(tokens));
  const scores = await logits
    .logSoftmax(-1)
    .narrow(1, prompt.length - 1, length)
    .gather(2, tokens.narrow(1, prompt.length, length).unsqueeze(-1))
    .sum([1, 2])
    .data();
  return all
    .map((row, i) => ({ tokens: row, score: Number(scores[i]) / length }))
    .sort((a, b) => b.score - a.score);
}

// The reference is there to be compared with: what it would show of itself, the others do.
for (const [deviceName, device] of devices.filter(([name]) => name !== "reference")) {
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

    it.each(combinations)(
      "%s with %s: parts give what the whole gives",
      async (name, _, options) => {
        const model = modelOf(name, options);
        const numbers = Int32Array.from({ length: 2 * 15 }, (_, i) => (i * 7 + (i % 3)) % 13);
        const tokens = fromData(numbers, [2, 15]);
        const whole = noGrad(() => model.forward(tokens));
        const state = model.initState({ batch: 2 });
        const parts: Tensor[] = [];
        let start = 0;
        for (const length of [6, 6, 1, 1, 1]) {
          const part = noGrad(() => model.forward(tokens.narrow(1, start, length), { state }));
          parts.push(await part.realize());
          start += length;
        }
        await expectClose(cat(parts, 1), whole, close);
      },
    );

    describe.each(mechanisms)("$name", ({ name }) => {
      it("gives for a batch of prompts what it gives for each, with a state and without", async () => {
        const model = modelOf(name, { positions: "rotary", nKvHeads: 2 });
        const prompts = [[1, 2, 3, 4, 5, 6, 7], [11], [9, 8, 9]];
        const ways = [
          { maxNewTokens: 6 },
          { maxNewTokens: 4, numBeams: 3, numReturnSequences: 3 },
          {
            ...{ maxNewTokens: 4, numBeams: 4, numReturnSequences: 4 },
            ...{ numBeamGroups: 2, diversityPenalty: 0.7 },
          },
        ];
        for (const way of ways) {
          const alone: number[][] = [];
          for (const prompt of prompts)
            alone.push(...(await generate(model, prompt, way).tokens()));
          expect(new Set(alone.flat()).size).toBeGreaterThan(3);
          for (const use of [{}, { useCache: false }, { prefillChunkSize: 3 }]) {
            expect(await generate(model, prompts, { ...way, ...use }).tokens()).toEqual(alone);
          }
        }
      });

      it("writes for sources in a batch what it writes for each", async () => {
        manualSeed(3);
        const { config } = modelOf(name, { positions: "rotary", bosTokenId: 1 });
        const model = new Seq2SeqTransformer(config).eval();
        const sources = [[5, 2, 9, 9, 4, 7], [3], [12, 6, 1, 8]];
        const longest = 6;
        const padded = sources.map((row) => [
          ...row,
          ...new Array<number>(longest - row.length).fill(0),
        ]);
        const keyMask = tensor(sources.map(({ length }) => padded[0]!.map((_, i) => i < length)));
        const together = model.bind(tensor(padded, { dtype: "int32" }), { keyMask });
        for (const way of [{ maxNewTokens: 6 }, { maxNewTokens: 5, numBeams: 3 }]) {
          const alone: number[][] = [];
          for (const source of sources) {
            const bound = model.bind(tensor([source], { dtype: "int32" }));
            alone.push(...(await generate(bound, [[]], way).tokens()));
          }
          expect(new Set(alone.map((tokens) => tokens.join())).size).toBe(3);
          for (const use of [{}, { useCache: false }]) {
            expect(await generate(together, [[], [], []], { ...way, ...use }).tokens()).toEqual(
              alone,
            );
          }
        }
      });

      it("finds with beams the best of all sequences", async () => {
        const model = modelOf(name, { vocabSize: 3 });
        const all = await everySequence(model, [0, 2], 3);
        const best = await generate(model, [0, 2], {
          ...{ maxNewTokens: 3, numBeams: 27, numReturnSequences: 6 },
        }).collect();
        expect(best.map(({ tokens }) => tokens)).toEqual(
          all.slice(0, 6).map(({ tokens }) => tokens),
        );
        best.forEach(({ score }, i) => {
          expect(score).toBeCloseTo(all[i]!.score, 3);
        });
      });
    });
  });
}

it.each(mechanisms.filter(({ name }) => name !== "softmax"))(
  "$name is refused ALiBi and windows, which are made of scores of single pairs",
  ({ name, make }) => {
    registerAttention(name, { make });
    for (const options of [{ positions: "alibi" }, { slidingWindow: 4 }] as const) {
      expect(() => modelOf(name, options)).toThrow(
        `alibi positions, slidingWindow and compat need softmax attention, got "${name}" in layer 0`,
      );
    }
  },
);
