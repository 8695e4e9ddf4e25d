import { setDevice, tensor } from "@x/tensor";
import { beforeEach, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { TinyLanguageModel } from "../../test/tiny-language-model.js";
import { BeamGroup, type Candidate } from "./beam-group.js";
import { generate } from "./generate.js";
import type { GenerateOptions } from "./options.js";

const vocabSize = 4;

/** The logarithms of the probabilities of what comes after a sequence. */
async function logProbabilities(model: TinyLanguageModel, tokens: number[]): Promise<number[]> {
  const logits = model.next(tensor([tokens], { dtype: "int32" }));
  return [...(await logits.logSoftmax(-1).data())];
}

interface Scored {
  readonly tokens: number[];
  readonly score: number;
}

/** All sequences with their scores, best first. */
async function everySequence(
  model: TinyLanguageModel,
  prompt: number[],
  { length, penalty, stop }: { length: number; penalty: number; stop: number | null },
): Promise<Scored[]> {
  const ended: Scored[] = [];
  let open = [{ tokens: [] as number[], sum: 0 }];
  for (let n = 1; n <= length; n++) {
    const longer: typeof open = [];
    for (const { tokens, sum } of open) {
      const next = await logProbabilities(model, [...prompt, ...tokens]);
      next.forEach((logProbability, token) => {
        const grown = { tokens: [...tokens, token], sum: sum + logProbability };
        if (token !== stop && n < length) longer.push(grown);
        else ended.push({ tokens: grown.tokens, score: grown.sum / n ** penalty });
      });
    }
    open = longer;
  }
  return ended.sort((a, b) => b.score - a.score);
}

/** Beam search as plainly as can be: of one group, without an end. */
async function plainBeams(
  model: TinyLanguageModel,
  prompt: number[],
  { beams, length }: { beams: number; length: number },
): Promise<Scored[]> {
  let kept: Scored[] = [{ tokens: [], score: 0 }];
  for (let n = 0; n < length; n++) {
    const grown: Scored[] = [];
    for (const { tokens, score } of kept) {
      const next = await logProbabilities(model, [...prompt, ...tokens]);
      next.forEach((x, token) => grown.push({ tokens: [...tokens, token], score: score + x }));
    }
    kept = grown.sort((a, b) => b.score - a.score).slice(0, beams);
  }
  return kept.map(({ tokens, score }) => ({ tokens, score: score / length }));
}

/** Diverse beam search with groups of one beam: greedy, with a penalty for what others chose. */
async function plainGroups(
  model: TinyLanguageModel,
  prompt: number[],
  { groups, length, penalty }: { groups: number; length: number; penalty: number },
): Promise<Scored[]> {
  const found = Array.from({ length: groups }, () => ({ tokens: [] as number[], score: 0 }));
  for (let n = 0; n < length; n++) {
    const chosen: number[] = [];
    for (const group of found) {
      const next = await logProbabilities(model, [...prompt, ...group.tokens]);
      const scores = next.map((x, t) => x - penalty * chosen.filter((token) => token === t).length);
      const token = scores.indexOf(Math.max(...scores));
      group.tokens.push(token);
      group.score += scores[token]!;
      chosen.push(token);
    }
  }
  return found
    .map(({ tokens, score }) => ({ tokens, score: score / length }))
    .sort((a, b) => b.score - a.score);
}

describe.each(devices)("on %s", (_, device) => {
  let model: TinyLanguageModel;

  beforeEach(() => {
    setDevice(device);
    model = new TinyLanguageModel({ vocabSize });
  });

  /** Expects the same sequences with the same scores. */
  async function expectFound(
    prompt: number[],
    options: GenerateOptions,
    expected: readonly Scored[],
  ): Promise<void> {
    const found = await generate(model, prompt, options).collect();
    expect(found.map(({ tokens }) => tokens)).toEqual(expected.map(({ tokens }) => tokens));
    found.forEach(({ score }, i) => {
      expect(score).toBeCloseTo(expected[i]!.score, 4);
    });
  }

  test("with enough beams it finds the best of all sequences", async () => {
    for (const [penalty, stop] of [
      [1, null],
      [0, 2],
      [1, 2],
      [2, 2],
      [-1, 1],
    ] as const) {
      const all = await everySequence(model, [0, 3], { length: 4, penalty, stop });
      const options = {
        maxNewTokens: 4,
        numBeams: 256,
        numReturnSequences: 5,
        lengthPenalty: penalty,
        stopTokens: stop,
        earlyStopping: "never",
      } as const;
      await expectFound([0, 3], options, all.slice(0, 5));
    }
  });

  test("with few beams it keeps the best at each step", async () => {
    for (const beams of [2, 3, 5]) {
      for (const prompt of [[0], [3, 1, 2], [2, 2]]) {
        const expected = await plainBeams(model, prompt, { beams, length: 6 });
        const options = { maxNewTokens: 6, numBeams: beams, numReturnSequences: beams };
        await expectFound(prompt, options, expected);
        await expectFound(prompt, { ...options, useCache: false }, expected);
      }
    }
  });

  test("groups keep their distance", async () => {
    for (const penalty of [0.3, 1, 50]) {
      const expected = await plainGroups(model, [1, 2], { groups: 3, length: 5, penalty });
      const options = {
        maxNewTokens: 5,
        numBeams: 3,
        numBeamGroups: 3,
        numReturnSequences: 3,
        diversityPenalty: penalty,
      };
      await expectFound([1, 2], options, expected);
    }
    // Groups of two beams and a penalty that nothing outweighs: at each step all groups differ.
    const apart = await generate(model, [[1, 2], [3]], {
      maxNewTokens: 4,
      numBeams: 4,
      numBeamGroups: 2,
      numReturnSequences: 4,
      diversityPenalty: 100,
    }).collect();
    expect(apart).toHaveLength(8);
    expect(apart[0]!.tokens[0]).not.toBe(apart[3]!.tokens[0]);
    expect(new Set(apart.slice(0, 4).map(({ tokens }) => tokens.join())).size).toBe(4);
  });

  test("the best beam comes step by step, and its text ends before what stops it", async () => {
    const tokenizer = {
      vocabSize,
      encode: (text: string) => [...text].map(Number),
      decode: (ids: readonly number[]) => ids.join(""),
    };
    const options = { maxNewTokens: 6, numBeams: 3, tokenizer };
    const whole = await generate(model, "12", options).text();
    const steps: string[] = [];
    for await (const { text } of generate(model, "12", options)) steps.push(text);
    expect([steps.length, steps.join("")]).toEqual([6, whole]);
    const stopStrings = [whole.slice(2, 4)];
    const [stopped] = await generate(model, "12", {
      ...options,
      stopStrings,
      earlyStopping: true,
    }).collect();
    expect(stopped!.reason).toBe("stopString");
    expect(stopped!.tokens.join("")).toBe(stopped!.text + stopStrings[0]!);
  });

  test("processors and the repetition penalty act on each beam", async () => {
    const lengths = new Set<number>();
    const options: GenerateOptions = {
      maxNewTokens: 5,
      numBeams: 3,
      logitsProcessors: [
        (scores, { sequences }) => {
          for (const { length } of sequences) lengths.add(length);
          // No token twice in a row.
          const last = tensor(sequences.map((sequence) => [sequence.at(-1)!]));
          const places = tensor([0, 1, 2, 3]);
          return scores.maskedFill(places.eq(last), -Infinity);
        },
      ],
    };
    const found = await generate(
      model,
      [
        [1, 2],
        [3, 3],
      ],
      options,
    ).tokens();
    for (const [i, tokens] of found.entries()) {
      [i === 0 ? 2 : 3, ...tokens].forEach((token, place, all) => {
        expect(token).not.toBe(all[place - 1]);
      });
    }
    expect([...lengths]).toEqual([2, 3, 4, 5, 6]);
    const penalized = { maxNewTokens: 5, numBeams: 3, repetitionPenalty: 1.5 };
    const cached = await generate(model, [[1, 2], [3]], penalized).tokens();
    expect(
      await generate(model, [[1, 2], [3]], { ...penalized, useCache: false }).tokens(),
    ).toEqual(cached);
  });
});

describe("the bookkeeping of a group", () => {
  const stop = 9;

  function groupOf(options: Partial<ConstructorParameters<typeof BeamGroup>[0]>): BeamGroup {
    return new BeamGroup({
      size: 2,
      maxNewTokens: 10,
      lengthPenalty: 1,
      earlyStopping: false,
      hasEnded: (tokens) => tokens.at(-1) === stop,
      ...options,
    });
  }

  function candidates(...list: [origin: number, token: number, score: number][]): Candidate[] {
    return list.map(([origin, token, score]) => ({ origin, token, score }));
  }

  test("only what ends among the best is kept, and others go on", () => {
    const group = groupOf({});
    group.advance(candidates([0, 1, -1], [0, stop, -2], [0, 2, -3], [0, 3, -4]));
    expect(group.finished).toEqual([{ tokens: [stop], score: -2 }]);
    expect(group.beams.map(({ tokens, score }) => [tokens, score])).toEqual([
      [[1], -1],
      [[2], -3],
    ]);
    group.advance(candidates([1, 4, -3], [0, 5, -4], [0, stop, -4.5], [1, stop, -5]));
    expect(group.finished).toHaveLength(1);
    expect(group.beams.map(({ tokens }) => tokens)).toEqual([
      [2, 4],
      [1, 5],
    ]);
    expect(group.isDone).toBe(false);
  });

  test("it ends by the rule of early stopping", () => {
    const ends = (earlyStopping: boolean | "never", lengthPenalty: number): boolean => {
      const group = groupOf({ earlyStopping, lengthPenalty });
      group.advance(candidates([0, stop, -1], [0, 1, -1.1], [0, 2, -1.2], [0, 3, -9]));
      // Divided by their length of 2: −0.75 for what ends; the best that goes on has −1, which it
      // might still raise to −0.2 at the length of 10.
      group.advance(candidates([0, stop, -1.5], [0, 1, -2], [1, 2, -2.1], [1, 3, -9]));
      expect(group.finished).toHaveLength(2);
      return group.isDone;
    };
    expect(ends(true, 1)).toBe(true);
    expect(ends(false, 1)).toBe(true);
    expect(ends("never", 1)).toBe(false);
    // Without a length penalty scores only fall.
    expect(ends("never", 0)).toBe(true);
  });

  test("at the longest length the best beams end", () => {
    const group = groupOf({ maxNewTokens: 1 });
    group.advance(candidates([0, 1, -1], [0, 2, -2], [0, 3, -3]));
    expect(group.finished.map(({ tokens }) => tokens)).toEqual([[1], [2]]);
    expect(group.isDone).toBe(true);
  });
});
