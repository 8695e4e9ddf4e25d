/** Groups of several beams that keep their distance, beside a search that is written as plainly as can be. */

import { setDevice, tensor } from "@x/tensor";
import { expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { TinyLanguageModel } from "../../test/tiny-language-model.js";
import { generate } from "./generate.js";

const vocabSize = 5;

interface Scored {
  readonly tokens: readonly number[];
  readonly score: number;
}

interface Search {
  readonly groups: number;
  /** How many beams a group has. */
  readonly size: number;
  readonly length: number;
  readonly penalty: number;
}

/** All beams of all groups, best first; scores are means over the tokens. */
async function plainSearch(
  model: TinyLanguageModel,
  prompt: readonly number[],
  { groups, size, length, penalty }: Search,
): Promise<Scored[]> {
  const found: Scored[][] = Array.from({ length: groups }, () => [{ tokens: [], score: 0 }]);
  for (let step = 0; step < length; step++) {
    const taken: number[] = [];
    for (const [i, beams] of found.entries()) {
      const longer: Scored[] = [];
      for (const { tokens, score } of beams) {
        const input = tensor([[...prompt, ...tokens]], { dtype: "int32" });
        const next = await model.next(input).logSoftmax(-1).data();
        for (let token = 0; token < vocabSize; token++) {
          const others = taken.filter((other) => other === token).length;
          const grown = score + Number(next[token]) - penalty * others;
          longer.push({ tokens: [...tokens, token], score: grown });
        }
      }
      found[i] = longer.sort((a, b) => b.score - a.score).slice(0, size);
      taken.push(...found[i].map(({ tokens }) => tokens.at(-1)!));
    }
  }
  return found
    .flat()
    .map(({ tokens, score }) => ({ tokens, score: score / length }))
    .sort((a, b) => b.score - a.score);
}

test.each(devices)(
  "on %s groups of several beams are those of a plain search",
  async (_, device) => {
    setDevice(device);
    const model = new TinyLanguageModel({ vocabSize });
    const prompts = [[1, 2], [4]];
    for (const [groups, size, penalty] of [
      [2, 2, 1.5],
      [3, 2, 1],
      [2, 4, 2.5],
    ] as const) {
      const found = await generate(model, prompts, {
        ...{ maxNewTokens: 4, numBeams: groups * size, numReturnSequences: groups * size },
        ...{ numBeamGroups: groups, diversityPenalty: penalty },
      }).collect();
      for (const [i, prompt] of prompts.entries()) {
        const own = found.slice(i * groups * size, (i + 1) * groups * size);
        const expected = await plainSearch(model, prompt, { groups, size, penalty, length: 4 });
        expect(own.map(({ tokens }) => tokens)).toEqual(expected.map(({ tokens }) => tokens));
        own.forEach(({ score }, rank) => {
          expect(score).toBeCloseTo(expected[rank]!.score, 4);
        });
      }
      // The penalty mattered: without it all groups would be the same.
      expect(new Set(found.map(({ tokens }) => tokens.join())).size).toBeGreaterThan(2 * size);
    }
  },
);
