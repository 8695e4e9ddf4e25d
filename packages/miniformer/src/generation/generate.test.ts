import { memory, profile, setDevice, tensor, wasm, where, XError, type Tensor } from "@x/tensor";
import { Generator } from "@x/tensor/random";
import { beforeEach, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { TinyLanguageModel } from "../../test/tiny-language-model.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { generate } from "./generate.js";
import type { GenerateOptions } from "./options.js";

/** Takes the likeliest token each time, computing all again, after a plain repetition penalty. */
async function greedy(
  model: TinyLanguageModel,
  prompt: readonly number[],
  count: number,
  penalty = 1,
): Promise<number[]> {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = await model.next(tensor([tokens], { dtype: "int32" })).data();
    for (const token of new Set(tokens))
      logits[token]! *= logits[token]! < 0 ? penalty : 1 / penalty;
    tokens.push(logits.indexOf(Math.max(...logits)));
  }
  return tokens.slice(prompt.length);
}

/** Letters from "a" on, two of which are halves of "é". */
const letters: Tokenizer = {
  vocabSize: 11,
  encode: (text) => [...text].map((letter) => letter.charCodeAt(0) - 97),
  decode: (ids) => ids.map((id) => String.fromCharCode(97 + id)).join(""),
};

async function errorOf(body: () => unknown): Promise<string> {
  try {
    await body();
  } catch (error) {
    return XError.isInstance(error) ? `${error.code} ${error.message}` : String(error);
  }
  return "none";
}

describe.each(devices)("on %s", (_, device) => {
  beforeEach(() => {
    setDevice(device);
  });

  test("greedy, with and without a cache, in parts of any size", async () => {
    const model = new TinyLanguageModel();
    const prompt = [3, 1, 4, 1, 5];
    const expected = await greedy(model, prompt, 12);
    expect(new Set(expected).size).toBeGreaterThan(3);
    for (const options of [{}, { useCache: false }, { prefillChunkSize: 2 }, { temperature: 0 }]) {
      const found = await generate(model, prompt, { maxNewTokens: 12, ...options }).tokens();
      expect(found).toEqual([expected]);
    }
  });

  test("a batch gives what each prompt gives alone", async () => {
    const model = new TinyLanguageModel();
    const prompts = [[3, 1, 4, 1, 5, 9, 2], [6], [5, 3, 5]];
    const alone = await Promise.all(prompts.map((prompt) => greedy(model, prompt, 8)));
    for (const options of [{}, { useCache: false }, { prefillChunkSize: 3 }]) {
      const found = await generate(model, prompts, { maxNewTokens: 8, ...options }).tokens();
      expect(found).toEqual(alone);
    }
    const beams = { numBeams: 3, maxNewTokens: 5, numReturnSequences: 2 };
    const together = await generate(model, prompts, beams).collect();
    for (const [i, prompt] of prompts.entries()) {
      const single = await generate(model, prompt, beams).collect();
      expect(together.slice(2 * i, 2 * i + 2).map(({ tokens }) => tokens)).toEqual(
        single.map(({ tokens }) => tokens),
      );
    }
  });

  test("prompts may be tensors, lists and texts", async () => {
    const model = new TinyLanguageModel();
    const options = { maxNewTokens: 3, tokenizer: letters };
    const expected = await generate(model, [1, 2], options).tokens();
    const row = tensor([1, 2], { dtype: "int32" });
    for (const prompt of [row, row.unsqueeze(0), row.add(0), [[1, 2]], "bc", ["bc"]]) {
      expect(await generate(model, prompt, options).tokens()).toEqual(expected);
    }
    const begins = new TinyLanguageModel({ bosTokenId: 1 });
    const fromStart = await generate(begins, "", options).tokens();
    expect(fromStart).toEqual(await generate(model, [1], options).tokens());
  });

  test("a seed repeats, and each row draws its own tokens", async () => {
    const model = new TinyLanguageModel();
    const draw = (options: GenerateOptions): Promise<number[][]> =>
      generate(
        model,
        [
          [1, 2],
          [1, 2],
        ],
        { maxNewTokens: 20, temperature: 1.5, ...options },
      ).tokens();
    const [first, second] = [await draw({ seed: 1 }), await draw({ seed: 2 })];
    expect(await draw({ seed: 1 })).toEqual(first);
    expect(await draw({ generator: new Generator(1) })).toEqual(first);
    expect(second).not.toEqual(first);
    expect(first[0]).not.toEqual(first[1]);
    const cold = await draw({ temperature: 0.001, seed: 3 });
    expect(cold[0]).toEqual(await greedy(model, [1, 2], 20));
    const again = generate(model, [1], { seed: 4, temperature: 2, maxNewTokens: 5 });
    expect(await again.tokens()).toEqual(await again.tokens());
  });

  test("stop tokens end a sequence, and padding follows", async () => {
    const model = new TinyLanguageModel();
    const prompts = [[3, 1, 4, 1, 5], [6]];
    const [one, two] = await Promise.all(prompts.map((prompt) => greedy(model, prompt, 10)));
    const stop = one![3]!;
    const until = (tokens: number[]): number[] => {
      const end = tokens.indexOf(stop);
      return end < 0 ? tokens : tokens.slice(0, end + 1);
    };
    expect(until(one!).length).not.toBe(until(two!).length);
    const options = { maxNewTokens: 10, stopTokens: stop, padTokenId: 10 };
    const steps: number[][] = [];
    for await (const { tokens } of generate(model, prompts, options)) steps.push([...tokens]);
    const longest = Math.max(until(one!).length, until(two!).length);
    expect(steps).toHaveLength(longest);
    for (const [row, tokens] of [until(one!), until(two!)].entries()) {
      const padded = [...tokens, ...new Array<number>(longest - tokens.length).fill(10)];
      expect(steps.map((step) => step[row])).toEqual(padded);
    }
    const ended = await generate(
      new TinyLanguageModel({ eosTokenId: [99 % 11, stop] }),
      prompts[0]!,
      {
        maxNewTokens: 10,
        tokenizer: letters,
      },
    ).collect();
    expect(ended[0]!.reason).toBe("stopToken");
    expect(ended[0]!.tokens.at(-1)).toBeOneOf([0, stop]);
    expect(ended[0]!.text).toBe(letters.decode(ended[0]!.tokens.slice(0, -1)));
    const never = { maxNewTokens: 10, stopTokens: null };
    const unstopped = await generate(
      new TinyLanguageModel({ eosTokenId: stop }),
      prompts[0]!,
      never,
    ).collect();
    expect(unstopped[0]).toEqual({ tokens: one, text: "", reason: "length", score: null });
  });

  test("stop strings end the text before them", async () => {
    const model = new TinyLanguageModel();
    const text = letters.decode(await greedy(model, [3, 1, 4], 10));
    const stop = text.slice(4, 6);
    const expected = text.slice(0, text.indexOf(stop));
    const options = { maxNewTokens: 10, tokenizer: letters, stopStrings: [stop, "zz"] };
    let streamed = "";
    for await (const step of generate(model, [3, 1, 4], options)) streamed += step.text;
    expect(streamed).toBe(expected);
    const [whole] = await generate(model, [3, 1, 4], options).collect();
    expect([whole!.text, whole!.reason]).toEqual([expected, "stopString"]);
    expect(letters.decode(whole!.tokens)).toBe(expected + stop);
    expect(await generate(model, "dbe", options).text()).toBe(expected);
    expect(await generate(model, ["dbe", "dbe"], options).texts()).toEqual([expected, expected]);
  });

  test("an aborted signal ends it with its reason", async () => {
    const model = new TinyLanguageModel();
    const controller = new AbortController();
    const { signal } = controller;
    let steps = 0;
    const run = async (): Promise<void> => {
      for await (const _step of generate(model, [1], { signal, maxNewTokens: 50 })) {
        if (++steps === 3) controller.abort(new Error("enough"));
      }
    };
    await expect(run()).rejects.toThrow("enough");
    expect(steps).toBe(3);
    await expect(generate(model, [1], { signal, numBeams: 2 }).tokens()).rejects.toThrow("enough");
  });

  test("processors and the repetition penalty change what comes", async () => {
    const model = new TinyLanguageModel();
    const free = await greedy(model, [3, 1, 4], 10);
    const banned = free[2]!;
    const steps: number[] = [];
    const found = await generate(model, [3, 1, 4], {
      maxNewTokens: 10,
      logitsProcessors: [
        (logits, { sequences, step }) => {
          steps.push(step);
          expect(sequences[0]).toHaveLength(3 + step);
          const mask = Array.from({ length: 11 }, (_, token) => token === banned);
          return logits.maskedFill(tensor(mask), -Infinity);
        },
      ],
    }).tokens();
    expect(found[0]!.slice(0, 2)).toEqual(free.slice(0, 2));
    expect(found[0]).not.toContain(banned);
    expect(steps).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const prompts = [[3, 1, 4], [6]];
    const expected = await Promise.all(prompts.map((prompt) => greedy(model, prompt, 8, 1.8)));
    expect(expected[0]).not.toEqual(free.slice(0, 8));
    for (const useCache of [true, false]) {
      const options = { maxNewTokens: 8, repetitionPenalty: 1.8, useCache };
      expect(await generate(model, prompts, options).tokens()).toEqual(expected);
    }
  });

  test("no step after the first ones compiles or keeps anything", async () => {
    const model = new TinyLanguageModel({ vocabSize: 300 });
    for (const options of [
      { temperature: 0.9, topK: 20, topP: 0.9, minP: 0.01, repetitionPenalty: 1.2, seed: 1 },
      { topP: 0.8 },
      {},
    ]) {
      const run = generate(model, [[1, 2, 3], [4]], { maxNewTokens: 30, ...options });
      const steps = run[Symbol.asyncIterator]();
      for (let i = 0; i < 5; i++) await steps.next();
      const before = memory(device).tensors;
      const { compileCount } = await profile(async () => {
        for (let i = 0; i < 20; i++) await steps.next();
      });
      expect(compileCount).toBe(0);
      // Tensors of other tests may be collected meanwhile.
      expect(memory(device).tensors).toBeLessThanOrEqual(before);
      await steps.return([]);
    }
    const beams = { maxNewTokens: 25, numBeams: 4, lengthPenalty: 0.5 };
    await generate(model, [[1, 2, 3], [4]], beams).collect();
    const before = memory(device).tensors;
    const { compileCount } = await profile(() =>
      generate(model, [[2, 2, 3], [5]], beams).collect(),
    );
    expect(compileCount).toBe(0);
    expect(memory(device).tensors).toBeLessThanOrEqual(before);
  });

  test("a model in training is in training again, and was not while it generated", async () => {
    const model = new TinyLanguageModel();
    const seen: boolean[] = [];
    const next = model.next.bind(model);
    model.next = (...call): Tensor => {
      seen.push(model.training);
      return next(...call);
    };
    for await (const { ended } of generate(model, [1], { maxNewTokens: 2 })) {
      expect([model.training, ended.length]).toEqual([true, 1]);
    }
    expect(seen).toEqual([false, false]);
  });
});

test("half of a character waits for its other half", async () => {
  setDevice(wasm());
  const model = new TinyLanguageModel({ vocabSize: 2 });
  const bytes: Tokenizer = {
    vocabSize: 2,
    encode: () => [],
    decode: (ids) =>
      new TextDecoder().decode(Uint8Array.from(ids, (id) => (id === 0 ? 0xc3 : 0xa9))),
  };
  const forced = [0, 1, 0, 1, 0];
  const run = generate(model, [0, 1], {
    maxNewTokens: 5,
    tokenizer: bytes,
    logitsProcessors: [
      (logits, { step }) =>
        where(tensor([forced[step] === 0, forced[step] === 1]), logits, -Infinity),
    ],
  });
  const texts: string[] = [];
  for await (const { text } of run) texts.push(text);
  expect(texts).toEqual(["", "é", "", "é", "\ufffd"]);
});

describe("what makes no sense is refused", () => {
  const model = new TinyLanguageModel();

  test.each<[GenerateOptions, string]>([
    [{ maxNewTokens: 0 }, "maxNewTokens must be a whole number of at least 1, got 0"],
    [{ temperature: -1 }, "temperature must be a finite number of at least 0, got -1"],
    [{ topK: 0 }, "topK must be a whole number of at least 1, got 0"],
    [{ topP: 0 }, "topP must lie above 0 and not above 1, got 0"],
    [{ minP: 2 }, "minP must lie between 0 and 1, got 2"],
    [{ repetitionPenalty: 0 }, "repetitionPenalty must be a finite number above 0, got 0"],
    [{ stopTokens: [3, 11] }, "stopTokens must be a token from 0 to 10, got 11"],
    [{ padTokenId: -1 }, "padTokenId must be a token from 0 to 10, got -1"],
    [{ stopStrings: "x" }, "stopStrings need a tokenizer, got none"],
    [{ stopStrings: [""], tokenizer: letters }, "at least one character"],
    [{ seed: 1, generator: new Generator(1) }, "one source, got a seed and a generator"],
    [{ prefillChunkSize: 0.5 }, "prefillChunkSize must be a whole number"],
    [{ numBeams: 0 }, "numBeams must be a whole number of at least 1"],
    [{ numBeams: 3, numBeamGroups: 2, diversityPenalty: 1 }, "multiple of numBeamGroups"],
    [{ numBeams: 4, numBeamGroups: 2 }, "need a diversityPenalty above 0"],
    [{ numBeams: 2, numReturnSequences: 3 }, "at most numBeams sequences"],
    [{ numBeams: 2, topK: 3 }, "got options for drawing tokens at random"],
    [{ numBeams: 2, lengthPenalty: NaN }, "lengthPenalty must be a finite number"],
  ])("%o", async (options, message) => {
    const error = await errorOf(() => generate(model, [1], options));
    expect(error).toContain("argument generate: ");
    expect(error).toContain(message);
  });

  test("prompts", async () => {
    expect(await errorOf(() => generate(model, []))).toContain("at least one token, got none");
    expect(await errorOf(() => generate(model, [[1], [11]]))).toContain("from 0 to 10, got 11");
    expect(await errorOf(() => generate(model, "a"))).toContain("needs a tokenizer, got none");
    const float = tensor([1, 2]);
    expect(await errorOf(() => generate(model, float))).toContain("shape generate: a prompt");
    expect(await errorOf(() => generate(model, [1]).text())).toContain("text needs a tokenizer");
  });

  test("models that do not predict tokens", async () => {
    for (const [config, message] of [
      [{ outputDim: null }, "must have a head that predicts tokens, got one that ends with hidden"],
      [{ outputDim: 4 }, "got outputDim 4 and vocabSize 11"],
      [{ causal: false }, "got one that is not causal"],
    ] as const) {
      expect(await errorOf(() => generate(new TinyLanguageModel(config), [1]))).toContain(message);
    }
    const other = new TinyLanguageModel();
    other.next = (tokens) => tokens.float();
    expect(await errorOf(() => generate(other, [1]).tokens())).toContain(
      "the model must give logits [1, 11] of the next tokens, got [1, 1]",
    );
    const shrinking: GenerateOptions = { logitsProcessors: [(logits) => logits.narrow(1, 0, 2)] };
    expect(await errorOf(() => generate(model, [1], shrinking).tokens())).toContain(
      "a logits processor must give logits [1, 11], got [1, 2]",
    );
    const nothing: GenerateOptions = {
      numBeams: 2,
      logitsProcessors: [(logits) => logits.sub(Infinity)],
    };
    expect(await errorOf(() => generate(model, [1], nothing).tokens())).toContain(
      "some token must be possible",
    );
  });
});
