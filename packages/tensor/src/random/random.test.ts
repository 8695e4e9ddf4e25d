import { beforeAll, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { profile } from "../plan/profile.js";
import { reference } from "../reference/device.js";
import { threefry } from "../reference/threefry.js";
import { ones, tensor } from "../tensor/creation.js";
import { codeOf, expectClose } from "../testing/index.js";
import * as random from "./index.js";
import { Generator, getDefaultGenerator, manualSeed } from "./index.js";

beforeAll(() => {
  setDevice(reference());
});

/** Mean and standard deviation. */
function moments(numbers: ArrayLike<number>): [number, number] {
  const list = Array.from(numbers);
  const mean = list.reduce((sum, x) => sum + x, 0) / list.length;
  const square = list.reduce((sum, x) => sum + (x - mean) ** 2, 0) / list.length;
  return [mean, Math.sqrt(square)];
}

test("numbers are words of the Threefry blocks of seed, position and draw", async () => {
  const generator = new Generator(2 ** 40 + 3);
  await random.rand([1], { generator }).data();
  const x = await random.rand([3], { generator }).data();
  const expected = [0, 1, 2].map((i) => (threefry(3, 256, i, 1)[0] >>> 8) * 2 ** -24);
  expect([...x]).toEqual(expected);
});

test("a seed repeats the numbers, a state goes on with them", async () => {
  manualSeed(11);
  const first = await random.randn([4]).toArray();
  const state = JSON.parse(
    JSON.stringify(getDefaultGenerator().getState()),
  ) as random.GeneratorState;
  const second = await random.randn([4]).toArray();
  expect(second).not.toEqual(first);
  manualSeed(11);
  expect(await random.randn([4]).toArray()).toEqual(first);
  expect(await random.randn([4]).toArray()).toEqual(second);
  const restored = new Generator().setState(state);
  expect(await random.randn([4], { generator: restored }).toArray()).toEqual(second);
  expect(getDefaultGenerator().seed).toBe(11);
});

test("a new draw needs no new plan", async () => {
  await random.randn([8]).data();
  const { compileCount } = await profile(() => random.randn([8]).data());
  expect(compileCount).toBe(0);
});

test("a lazy tensor keeps its numbers", async () => {
  const x = random.rand([5]);
  const [a, b] = [await x.mul(1).toArray(), await x.toArray()];
  expect(a).toEqual(b);
});

test("leaves get the same numbers as lazy tensors", async () => {
  for (const draw of [
    (options: random.RandomOptions) => random.rand([50], options),
    (options: random.RandomOptions) => random.normal(2, 3, [50], options),
    (options: random.RandomOptions) => random.truncatedNormal([50], { ...options, std: 2 }),
  ]) {
    const lazy = draw({ generator: new Generator(1) });
    const leaf = draw({ generator: new Generator(1), requiresGrad: true });
    expect(leaf.requiresGrad).toBe(true);
    await expectClose(await lazy.data(), await leaf.detach().data());
  }
});

test("distributions have their moments", async () => {
  const generator = new Generator(123);
  const n = 20_000;
  const near = (actual: [number, number], mean: number, std: number): void => {
    expect(Math.abs(actual[0] - mean)).toBeLessThan(4 * (std / Math.sqrt(n)));
    expect(Math.abs(actual[1] / std - 1)).toBeLessThan(0.05);
  };
  near(moments(await random.uniform(-1, 3, [n], { generator }).data()), 1, 4 / Math.sqrt(12));
  near(moments(await random.normal(5, 2, [n], { generator }).data()), 5, 2);
  near(moments(await random.exponential(2, [n], { generator }).data()), 0.5, 0.5);
  near(moments(await random.randint(-3, 7, [n], { generator }).data()), 1.5, Math.sqrt(99 / 12));
  const coin = random.bernoulli(ones([n]).mul(0.3), { generator });
  near(moments(await coin.data()), 0.3, Math.sqrt(0.21));
  // The variance of a standard normal between −2 and 2.
  near(moments(await random.truncatedNormal([n], { generator }).data()), 0, 0.8796);
});

test("ranges hold", async () => {
  const numbers = await random.randint(3, [500]).data();
  expect([...new Set(numbers)].sort()).toEqual([0, 1, 2]);
  expect(random.randint(3, [2]).dtype).toBe("int32");
  const normal = await random.truncatedNormal([500], { low: 0.5, high: 0.6 }).data();
  expect(normal.every((x) => x >= Math.fround(0.5) && x <= Math.fround(0.6))).toBe(true);
  const wide = await random.randint(-(2 ** 31), 2 ** 31 - 1, [100]).data();
  expect(wide.some((x) => x < 0) && wide.some((x) => x > 0)).toBe(true);
});

test("permutations hold every number once", async () => {
  const order = await random.randperm(100).data();
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect([...order]).not.toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect(random.randperm(0).shape).toEqual([0]);
});

test("classes are drawn by their probabilities", async () => {
  const generator = new Generator(4);
  const weights = tensor([1, 0, 3]);
  const options = { generator, replacement: true };
  const drawn = await random.multinomial(weights, 8000, options).data();
  expect(drawn.filter((i) => i === 1)).toHaveLength(0);
  expect(Math.abs(drawn.filter((i) => i === 2).length / 8000 - 0.75)).toBeLessThan(0.02);
  const rows = random.multinomial(ones([4, 3]), 3, { generator });
  for (const row of (await rows.toArray()) as number[][])
    expect([...row].sort()).toEqual([0, 1, 2]);
  const chosen = random.categorical(
    tensor([
      [-100, 0],
      [0, -100],
    ]),
    { generator },
  );
  expect(await chosen.toArray()).toEqual([1, 0]);
});

test("a place has the same number wherever it is asked for", async () => {
  const places = tensor(
    Array.from({ length: 4000 }, (_, i) => i),
    { dtype: "int32" },
  );
  const all = await random.uniformAt(places, { seed: 5 }).data();
  const [mean, deviation] = moments(all);
  expect(mean).toBeCloseTo(0.5, 1);
  expect(deviation).toBeCloseTo(Math.sqrt(1 / 12), 1);
  const some = tensor([3, 70, 3], { dtype: "int32" });
  expect(await random.uniformAt(some, { seed: 5 }).toArray()).toEqual([all[3], all[70], all[3]]);
  const streams = tensor([[0], [1]], { dtype: "int32" });
  const rows = (await random.uniformAt(some, { seed: 5, stream: streams }).toArray()) as number[][];
  expect(rows[0]).toEqual([all[3], all[70], all[3]]);
  expect(rows[1]![0]).not.toBe(all[3]);
  expect(await random.uniformAt(some, { seed: 6 }).select(0, 0).item()).not.toBe(all[3]);
});

test("what makes no sense is refused", () => {
  expect(codeOf(() => random.uniformAt(ones([1]), { seed: -1 }))).toBe("argument");
  expect(codeOf(() => new Generator(-1))).toBe("argument");
  expect(codeOf(() => manualSeed(0.5))).toBe("argument");
  expect(
    codeOf(() => new Generator().setState({ algorithm: "threefry2x32", key: [1, -1], draws: 0 })),
  ).toBe("argument");
  expect(codeOf(() => random.normal(0, -1, [2]))).toBe("argument");
  expect(codeOf(() => random.uniform(0, Infinity, [2]))).toBe("argument");
  expect(codeOf(() => random.randint(3, 3, [2]))).toBe("argument");
  expect(codeOf(() => random.randint(0, 2 ** 33, [2]))).toBe("argument");
  expect(codeOf(() => random.exponential(0, [2]))).toBe("argument");
  expect(codeOf(() => random.truncatedNormal([2], { low: 1, high: 1 }))).toBe("argument");
  expect(codeOf(() => random.multinomial(ones([3]), 4))).toBe("argument");
  expect(codeOf(() => random.multinomial(ones([1, 1, 3]), 1))).toBe("shape");
  expect(codeOf(() => random.rand([2, -1]))).toBe("shape");
  expect(codeOf(() => random.rand([2], { dtype: "int32" }))).toBe("dtype");
});
