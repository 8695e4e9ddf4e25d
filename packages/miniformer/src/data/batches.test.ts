import { describe, expect, test } from "vitest";
import { codeOf } from "@x/tensor/testing";
import { Batches, bucketLength, type ExampleBatch } from "./batches.js";
import { collect } from "./rows.js";
import { fromArray, mapped, split, streamed, type Source } from "./source.js";
import { packed, tokenWindows } from "./token-windows.js";
import { seriesWindows } from "./series.js";

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const sorted = (items: readonly number[]): number[] => [...items].sort((a, b) => a - b);

/** Sources of the same examples. */
const sources: [string, Source<number>][] = [
  ["an array", fromArray(numbers(101))],
  ["a stream", streamed(() => numbers(101), { shuffleBuffer: 10 })],
  ["a mapped array", mapped(fromArray(numbers(101)), (x) => x)],
];
/** Ways to batch them. */
const ways: [
  string,
  { readonly seed: number | null; readonly lengthOf?: (x: number) => number },
][] = [
  ["in order", { seed: null }],
  ["shuffled", { seed: 5 }],
  ["by length", { seed: 5, lengthOf: (x) => (x * 37) % 19 }],
];

describe.each(sources)("batches of %s", (_, source) => {
  describe.each(ways)("%s", (_, way) => {
    const make = (): Batches<number> =>
      new Batches(source, { batchSize: 4, poolBatches: 3, ...way });

    test("lose and repeat nothing in any epoch", async () => {
      const batches = make();
      const epochs: number[][] = [];
      for (let i = 0; i < 3 * 26; i++) {
        const { examples, epoch } = await batches.next();
        expect(examples.length).toBeLessThanOrEqual(4);
        (epochs[epoch] ??= []).push(...examples);
      }
      for (const epoch of epochs) expect(sorted(epoch)).toEqual(numbers(101));
      expect(epochs.length).toBe(3);
      if (way.seed === null) expect(epochs[0]).toEqual(numbers(101));
      else expect(epochs[0]).not.toEqual(epochs[1]);
    });

    test("come in the same order again from every place", async () => {
      const batches = make();
      const positions: unknown[] = [];
      const given: ExampleBatch<number>[] = [];
      for (let i = 0; i < 60; i++) {
        positions.push(JSON.parse(JSON.stringify(batches.position)));
        given.push(await batches.next());
      }
      for (const place of [0, 1, 5, 11, 12, 13, 25, 26, 27, 58]) {
        const again = make();
        again.seek(positions[place] as typeof batches.position);
        expect(await again.next()).toEqual(given[place]);
        expect(await again.next()).toEqual(given[place + 1]);
      }
    });
  });
});

test("batches by length hold similar examples", async () => {
  const lengths = numbers(64).map((i) => 1 + ((i * 29) % 64));
  const options = { batchSize: 8, lengthOf: (x: number) => x };
  const spreads: number[] = [];
  for await (const { examples } of new Batches(fromArray(lengths), options).rest()) {
    spreads.push(Math.max(...examples) - Math.min(...examples));
  }
  expect(spreads).toEqual(new Array(8).fill(7));
});

test("a last small batch can be left out", async () => {
  const batches = new Batches(fromArray(numbers(10)), { batchSize: 4, dropLast: true });
  expect(batches.perEpoch).toBe(2);
  expect((await collect(batches.rest())).map(({ examples }) => examples.length)).toEqual([4, 4]);
});

test("data that gives no batch is refused instead of read forever", async () => {
  const empty = new Batches(fromArray<number>([]), { batchSize: 2 });
  await expect(empty.next()).rejects.toThrow(
    "Batches: an epoch must give at least one batch, got none. Check that the data is not empty.",
  );
  await expect(collect(empty.rest())).rejects.toThrow("at least one batch");
  const small = new Batches(fromArray([1]), { batchSize: 2, dropLast: true });
  await expect(small.next()).rejects.toThrow("not empty or smaller than a batch.");
});

test("buckets are few and fit", () => {
  const buckets = numbers(1000).map((i) => bucketLength(i + 1));
  buckets.forEach((bucket, i) => {
    expect(bucket).toBeGreaterThanOrEqual(i + 1);
    expect(bucket).toBeLessThan(Math.max(9, 1.5 * (i + 1)));
  });
  expect(new Set(buckets).size).toBe(15);
  expect(bucketLength(70, 80)).toBe(80);
  expect(codeOf(() => bucketLength(81, 80))).toBe("argument");
});

describe("splits", () => {
  const items = (source: Source<number>): Promise<number[]> =>
    collect(source.read({ epoch: 0, seed: null }, 0));

  test.each(sources)("of %s cover everything once, by the seed", async (_, source) => {
    const parts = split(source, { validation: 0.3, seed: 4 });
    const [training, validation] = [await items(parts.training), await items(parts.validation)];
    expect(sorted([...training, ...validation])).toEqual(numbers(101));
    expect(Math.abs(validation.length - 30)).toBeLessThan(12);
    expect(await items(split(source, { validation: 0.3, seed: 4 }).validation)).toEqual(validation);
    expect(await items(split(source, { validation: 0.3, seed: 5 }).validation)).not.toEqual(
      validation,
    );
  });

  test("have at least one example in each part", () => {
    const { training, validation } = split(fromArray([1, 2]), { validation: 0 });
    expect([training.length, validation.length]).toEqual([1, 1]);
    expect(() => split(fromArray([1]))).toThrow("there must be at least two examples, got 1");
  });
});

describe("windows of tokens", () => {
  test.each([2, 9, 10, 11, 21])("predict each of %i tokens but the first once", async (count) => {
    const tokens = Int32Array.from(numbers(count));
    const windows = tokenWindows(tokens, { length: 5 });
    const predicted: number[] = [];
    for (let i = 0; i < windows.length!; i++) {
      const window = windows.at!(i);
      expect(window.length).toBeLessThanOrEqual(6);
      predicted.push(...window.slice(1));
    }
    expect(predicted).toEqual(numbers(count).slice(1));
    expect(() => tokenWindows(Int32Array.of(1), { length: 5 })).toThrow(
      "at least two tokens, got 1",
    );
  });

  test.each([2, 5, 6, 7, 12, 13])("with a stride begin at every so many of %i tokens", (count) => {
    const tokens = Int32Array.from(numbers(count));
    const windows = tokenWindows(tokens, { length: 5, stride: 2 });
    const all = numbers(windows.length!).map((i) => [...windows.at!(i)]);
    expect(all).toEqual(all.map((_, i) => numbers(count).slice(2 * i, 2 * i + 6)));
    expect(all.slice(0, -1).every((window) => window.length === 6)).toBe(true);
    expect(all.at(-1)!.at(-1)).toBe(count - 1);
    expect(all.at(-1)!.length).toBeGreaterThan(1);
    expect(() => tokenWindows(tokens, { length: 5, stride: 6 })).toThrow(
      "tokenWindows: the stride must be at most the length of 5, got 6.",
    );
  });

  test("of packed documents lose and repeat nothing, whatever the order", async () => {
    const documents = [3, 1, 8, 0, 5, 2].map((length, i) => new Array<number>(length).fill(i + 1));
    const windows = packed(fromArray(documents), { length: 4, endToken: 0 });
    for (const seed of [null, 3]) {
      const order = { epoch: 1, seed };
      const all = await collect(windows.read(order, 0));
      const tokens = [...all[0]!, ...all.slice(1).flatMap((window) => [...window.slice(1)])];
      // Each document as a whole, and its end.
      const found = tokens.join("").split("0").slice(0, -1);
      expect(sorted(found.map(Number))).toEqual(
        sorted(documents.map((document) => Number(document.join("")))),
      );
      expect(all.slice(0, -1).every((window) => window.length === 5)).toBe(true);
      all.slice(1).forEach((window, i) => expect(window[0]).toBe(all[i]!.at(-1)));
      expect(await collect(windows.read(order, 3))).toEqual(all.slice(3));
    }
  });

  test("of no documents are refused", async () => {
    const windows = packed(fromArray<number[]>([]), { length: 4, endToken: 0 });
    await expect(collect(windows.read({ epoch: 0, seed: null }, 0))).rejects.toThrow(
      "packed: there must be at least two tokens, got 0.",
    );
  });
});

describe("windows of series", () => {
  const rows = numbers(10).map((i) => [i, 10 * i]);

  test("hold the rows before and after", () => {
    const windows = seriesWindows(rows, { context: 3, horizon: 2, targets: [1], stride: 2 });
    expect(windows.length).toBe(3);
    const { features, target } = windows.at!(1);
    expect([...features]).toEqual([2, 20, 3, 30, 4, 40]);
    expect([...target]).toEqual([50, 60]);
  });

  test("of training end before those of validation begin", () => {
    const training = seriesWindows(rows, { context: 2, horizon: 2, to: 7 });
    const validation = seriesWindows(rows, { context: 2, horizon: 2, from: 7 });
    expect([...training.at!(training.length! - 1).target]).toEqual([5, 50, 6, 60]);
    expect([...validation.at!(0).target]).toEqual([7, 70, 8, 80]);
    expect([training.length, validation.length]).toEqual([4, 2]);
  });

  test("that cannot be are refused", () => {
    const options = { context: 3, horizon: 2 };
    expect(() => seriesWindows(rows.slice(0, 4), options)).toThrow(
      "there must be at least 5 rows for a window of 3 and 2 rows from row 3 on, got 4",
    );
    expect(() => seriesWindows([[1], [NaN]], options)).toThrow(
      "every row must hold 1 finite numbers, got [NaN] as row 1",
    );
    expect(() => seriesWindows(rows, { ...options, targets: [2] })).toThrow(
      "targets must be columns from 0 to 1, got 2",
    );
  });
});
