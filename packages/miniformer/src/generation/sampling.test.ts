import { setDevice, tensor } from "@x/tensor";
import { Generator } from "@x/tensor/random";
import { expectClose, randomNumbers } from "@x/tensor/testing";
import { beforeEach, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { drawTokens, filterLogits, penalizeRepetition, type Sampling } from "./sampling.js";

type Filters = Omit<Sampling, "generator">;

const everything: Filters = { temperature: 1, topK: null, topP: null, minP: null };
const rows = 3;
const classes = 40;

/** The probabilities after filtering, in plain JavaScript. */
function expected(logits: readonly number[], { temperature, topK, topP, minP }: Filters): number[] {
  const scaled = logits.map((logit) => logit / temperature);
  const order = scaled.map((_, i) => i).sort((a, b) => scaled[b]! - scaled[a]!);
  let kept = order.slice(0, topK ?? classes);
  const probabilityOf = (places: readonly number[]): ((place: number) => number) => {
    const total = places.reduce((sum, place) => sum + Math.exp(scaled[place]!), 0);
    return (place) => Math.exp(scaled[place]!) / total;
  };
  if (topP !== null) {
    const probability = probabilityOf(kept);
    let mass = 0;
    kept = kept.filter((place) => {
      const before = mass;
      mass += probability(place);
      return before < topP;
    });
  }
  if (minP !== null) {
    const probability = probabilityOf(kept);
    const most = probability(kept[0]!);
    kept = kept.filter((place) => probability(place) >= minP * most);
  }
  const probability = probabilityOf(kept);
  return logits.map((_, place) => (kept.includes(place) ? probability(place) : 0));
}

describe.each(devices)("on %s", (_, device) => {
  beforeEach(() => {
    setDevice(device);
  });

  test.each<Partial<Filters>>([
    {},
    { temperature: 0.6 },
    { topK: 5 },
    { topK: 1 },
    { topK: 100 },
    { topP: 0.7 },
    { topP: 1e-6 },
    { minP: 0.2 },
    { topK: 12, topP: 0.8, minP: 0.15, temperature: 1.3 },
    { topP: 0.9, minP: 0.1, temperature: 0.7 },
  ])("filters keep what they should: %o", async (filters) => {
    const sampling = { ...everything, ...filters };
    const random = randomNumbers(1);
    const numbers = Array.from({ length: rows }, () =>
      Array.from({ length: classes }, () => 12 * random() - 6),
    );
    const { logits, tokens } = filterLogits(tensor(numbers), sampling);
    const probabilities = logits.softmax(-1);
    const placed =
      tokens === null ? probabilities : tensor(numbers).mul(0).scatter(1, tokens, probabilities);
    const wanted = numbers.map((row) => expected(row, sampling));
    await expectClose(await placed.data(), Float32Array.from(wanted.flat()));
    expect(await logits.isfinite().int().sum().item()).toBe(
      wanted.flat().filter((probability) => probability > 0).length,
    );
  });

  test("tokens are drawn by their probabilities after filtering", async () => {
    const logits = tensor([[0.5, 0.3, 0.15, 0.05]]).log();
    const generator = new Generator(1);
    const many = logits.expand([4000, 4]);
    const shares = async (filters: Partial<Filters>): Promise<number[]> => {
      const drawn = await drawTokens(many, { ...everything, ...filters, generator }).data();
      return [0, 1, 2, 3].map((token) => drawn.filter((x: number) => x === token).length / 4000);
    };
    const near = (actual: number[], wanted: number[]): void => {
      actual.forEach((share, i) => expect(Math.abs(share - wanted[i]!)).toBeLessThan(0.03));
    };
    near(await shares({}), [0.5, 0.3, 0.15, 0.05]);
    near(await shares({ topK: 2 }), [0.625, 0.375, 0, 0]);
    near(await shares({ topP: 0.79 }), [0.625, 0.375, 0, 0]);
    near(await shares({ topP: 0.81 }), [0.526, 0.316, 0.158, 0]);
    near(await shares({ minP: 0.29 }), [0.526, 0.316, 0.158, 0]);
    near(await shares({ temperature: 0.5 }), [0.685, 0.247, 0.062, 0.007]);
    expect(await drawTokens(many.narrow(0, 0, 2), null).toArray()).toEqual([0, 0]);
  });

  test("the repetition penalty divides what is positive and multiplies what is negative", async () => {
    const logits = tensor([
      [2, -1, 4, -3],
      [1, 2, -8, 0],
    ]);
    const seen = tensor(
      [
        [0, 1, 0],
        [2, 3, 2],
      ],
      { dtype: "int32" },
    );
    expect(await penalizeRepetition(logits, seen, 2).toArray()).toEqual([
      [1, -2, 4, -3],
      [1, 2, -16, 0],
    ]);
  });
});
