import {
  memory,
  manualSeed,
  noGrad,
  profile,
  randint,
  realize,
  tensor,
  type Tensor,
} from "@x/tensor";
import { Generator } from "@x/tensor/random";
import { describe, expect, it } from "vitest";
import { fault } from "../../test/faults.js";
import { LinearAttentionTransformerLM } from "../transformer/language-model.js";
import type { LinearAttentionTransformerLMOptions } from "../transformer/options.js";
import { LinearAttentionTransformer } from "../transformer/transformer.js";
import { Autopadder } from "./autopadder.js";
import { AutoregressiveWrapper } from "./autoregressive-wrapper.js";
import { topK, topP } from "./filters.js";

const numTokens = 19;

function makeModel(
  options: Partial<LinearAttentionTransformerLMOptions> = {},
): AutoregressiveWrapper {
  manualSeed(9);
  return new AutoregressiveWrapper(
    new LinearAttentionTransformerLM({
      numTokens,
      dim: 16,
      depth: 1,
      maxSeqLen: 32,
      heads: 2,
      dimHead: 8,
      causal: true,
      nLocalAttnHeads: 1,
      localAttnWindowSize: 4,
      ...options,
    }),
    { padValue: 7 },
  );
}

const ints = (numbers: readonly number[][]): Tensor => tensor(numbers, { dtype: "int32" });
const listOf = async (tokens: Tensor): Promise<number[]> => [...(await tokens.data())].map(Number);

describe("topK and topP", () => {
  const logits = tensor([[4, 3, 2, 1].map((x) => x / 10)]).log();

  it("keep what their names say", async () => {
    const kept = async (filtered: Tensor): Promise<number> =>
      filtered.isfinite().int().sum().item();
    expect(await kept(topK(logits, { thres: 0.5 }))).toBe(2);
    expect(await kept(topK(logits, { thres: 0.9 }))).toBe(1);
    expect(await kept(topP(logits, { thres: 0.85 }))).toBe(3);
    expect(await kept(topP(logits, { thres: 0.35 }))).toBe(1);
  });

  it("keep what the original keeps with compat", async () => {
    const kept = async (filtered: Tensor): Promise<number> =>
      filtered.isfinite().int().sum().item();
    expect(await kept(topK(logits, { thres: 0.9, compat: "reference" }))).toBe(0);
    expect(await kept(topP(logits, { thres: 0.9, compat: "reference" }))).toBe(1);
  });

  it("reject other shapes and thresholds", () => {
    expect(() => topK(tensor([1]))).toThrow(
      fault("shape", "the logits must be float32 [batch, numTokens], got float32 [1]."),
    );
    expect(() => topP(logits, { thres: 2 })).toThrow(fault("argument", "thres must lie between"));
  });
});

describe("Autopadder", () => {
  it.each([false, true])("changes nothing but the length; padLeft %s", async (padLeft) => {
    manualSeed(3);
    const options = { dim: 8, depth: 1, maxSeqLen: 16, heads: 2, nLocalAttnHeads: 1 };
    const net = new LinearAttentionTransformer({ ...options, localAttnWindowSize: 4 });
    const x = tensor([Array.from({ length: 8 }, (_, i) => [i, 1, 2, 3, 1, i % 3, 0, 1])]);
    const isToken = (i: number): boolean => (padLeft ? i >= 3 : i < 5);
    const inputMask = tensor([Array.from({ length: 8 }, (_, i) => isToken(i))]);
    const start = padLeft ? 3 : 0;
    const expected = net.forward(x, { inputMask }).narrow(1, start, 5);
    const actual = new Autopadder(net, { padLeft }).forward(x.narrow(1, start, 5));
    expect(await actual.sub(expected).abs().max().item()).toBeLessThan(1e-5);
  });
});

describe("AutoregressiveWrapper", () => {
  it("gives the mean cross entropy of the next tokens", async () => {
    const model = makeModel();
    const tokens = randint(numTokens, [2, 10]);
    const logits = model.forward(tokens.narrow(1, 0, 9));
    const picked = logits.logSoftmax(-1).gather(2, tokens.narrow(1, 1, 9).unsqueeze(2));
    const loss = model.forward(tokens, { returnLoss: true });
    expect(await loss.add(picked.mean()).abs().item()).toBeLessThan(1e-5);
    const inputMask = tokens.ge(0);
    const masked = model.forward(tokens, { returnLoss: true, inputMask });
    expect(await masked.sub(loss).abs().item()).toBeLessThan(1e-5);
  });

  it("draws what the whole sequence would give, also beyond the longest", async () => {
    for (const options of [
      {},
      { shiftTokens: true, useRotaryEmb: true },
      { attendAxially: true },
    ]) {
      const model = makeModel({ maxSeqLen: 8, ...options }).eval();
      const start = ints([
        [1, 2, 3],
        [4, 5, 6],
      ]);
      const drawn = await model.generate(start, 9, { temperature: 0 });
      let rows = (await start.toArray()) as number[][];
      for (let i = 0; i < 9; i++) {
        const window = ints(rows.map((row) => row.slice(-8)));
        const logits = noGrad(() => model.forward(window));
        const next = await listOf(logits.select(1, logits.shape[1]! - 1).argmax(-1));
        rows = rows.map((row, j) => [...row, next[j]!]);
      }
      expect(await drawn.toArray()).toEqual(rows.map((row) => row.slice(3)));
    }
  });

  it("repeats with a seed, and takes one sequence without a batch", async () => {
    const model = makeModel();
    const draw = async (seed: number): Promise<number[]> => {
      const options = { generator: new Generator(seed), filterLogitsFn: topP };
      return listOf(await model.generate(tensor([1, 2], { dtype: "int32" }), 12, options));
    };
    const first = await draw(1);
    expect(first).toHaveLength(12);
    expect(await draw(1)).toEqual(first);
    expect(await draw(2)).not.toEqual(first);
    expect(model.net.training).toBe(true);
  });

  it("ignores padding before the start", async () => {
    const model = makeModel({ useRotaryEmb: true, shiftTokens: true });
    const inputMask = tensor([[false, false, true, true]]);
    const draw = async (padding: number): Promise<number[]> =>
      listOf(
        await model.generate(ints([[padding, padding, 3, 4]]), 6, { temperature: 0, inputMask }),
      );
    expect(await draw(0)).toEqual(await draw(11));
  });

  it("ends with the stop token", async () => {
    const model = makeModel();
    const start = ints([
      [1, 2],
      [8, 3],
    ]);
    const free = (await (
      await model.generate(start, 12, { temperature: 0 })
    ).toArray()) as number[][];
    const eosToken = free[0]![2]!;
    const ends = free.map((row) => row.indexOf(eosToken) + 1 || 12);
    const ended = await model.generate(start, 12, { temperature: 0, eosToken });
    const longest = Math.max(...ends);
    expect(await ended.toArray()).toEqual(
      free.map((row, i) => row.slice(0, longest).map((token, n) => (n < ends[i]! ? token : 7))),
    );
  });

  it("takes constant memory, and compiles nothing after the first steps", async () => {
    // X_TOKENS=10000 for a long one.
    const count = Number(process.env.X_TOKENS ?? 300);
    const model = makeModel({ maxSeqLen: 4 * Math.ceil((count + 100) / 4), shiftTokens: true });
    const options = { generator: new Generator(3) };
    await model.generate(ints([[1, 2, 3]]), 4, options);
    const net = model.net.net.eval();
    const state = net.initState(1);
    let token = ints([[1]]);
    const step = async (): Promise<void> => {
      token = noGrad(() => net.forward(token, { state }).select(1, 0).argmax(-1).unsqueeze(0));
      await realize(token);
    };
    for (let i = 0; i < 3; i++) await step();
    const before = memory().total;
    const { compileCount } = await profile(async () => {
      for (let i = 0; i < count; i++) await step();
    });
    expect(compileCount).toBe(0);
    expect(memory().total).toBeLessThanOrEqual(before);
    const generated = await profile(() => model.generate(ints([[1, 2, 3]]), count, options));
    // The first prompt, the place of the results, and the last token are steps of their own.
    expect(generated.compileCount).toBeLessThan(6);
  });

  it.each([
    [0, {}, "seqLen must be a whole number of at least 1, got 0."],
    [3, { temperature: -1 }, "temperature must be a finite number of at least 0, got -1."],
  ])("rejects %d tokens with %o", async (seqLen, options, sentence) => {
    await expect(makeModel().generate(ints([[1]]), seqLen, options)).rejects.toThrow(
      `AutoregressiveWrapper: ${sentence}`,
    );
  });

  it("rejects sequences it cannot use", async () => {
    const model = makeModel();
    await expect(model.generate(tensor([[1]]), 2)).rejects.toThrow(
      "the startTokens must be int32 [batch, length], got float32 [1, 1].",
    );
    await expect(model.generate(ints([[]]), 2)).rejects.toThrow(
      fault("shape", "generation starts from tokens, got [1, 0]. Pass at least one."),
    );
    expect(() => model.forward([], { returnLoss: true })).toThrow(fault("shape", "got none."));
    expect(() => model.forward(ints([[1]]), { returnLoss: true })).toThrow(
      fault("shape", "a length of at least 2, got [1, 1]."),
    );
  });
});
