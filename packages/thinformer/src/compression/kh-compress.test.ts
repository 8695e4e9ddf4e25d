import { beforeAll, describe, expect, test } from "vitest";
import { arange, manualSeed, ones, randn, setDevice, where } from "@x/tensor";
import { Generator } from "@x/tensor/random";
import { codeOf } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { khCompress, log4LargestPowerOfFour } from "../index.js";

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(4);
  });

  test.each([
    [1, 0, 1],
    [5, 0, 2],
    [63, 0, 4],
    [200, 1, 16],
    [70, 2, 32],
  ])("of %i keys with g = %i there are %i left, each once", async (length, g, outputs) => {
    const [key, value] = [randn([2, length, 2, 4]), randn([2, length, 2, 3])];
    const { indices, key: chosen } = khCompress(key, value, { g });
    expect(chosen.shape).toEqual([2, outputs, 2, 4]);
    const places = [...(await indices.slice(1, null, 1).data())];
    expect(new Set(places).size).toBe(outputs);
    expect(Math.max(...places)).toBeLessThan(length);
  });

  test("padded keys are never chosen, and a sequence has as many as it would alone", async () => {
    const length = 80;
    const [key, value] = [randn([3, length, 1, 4]), randn([3, length, 1, 4])];
    // 70 keys, 20 of them anywhere, and none.
    const place = arange(length).unsqueeze(0);
    const limit = where(arange(3).eq(0), 70, where(arange(3).eq(1), 20, 0)).unsqueeze(1);
    const keyMask = where(arange(3).unsqueeze(1).eq(1), place.remainder(4).eq(3), place.lt(limit));
    const { indices, mask } = khCompress(key, value, { g: 0, keyMask });
    const counts = await mask!.sum(1).toArray();
    expect(counts).toEqual([8, 4, 0]);
    const rows = (await indices.reshape([3, 8]).toArray()) as number[][];
    expect(rows[0]!.every((position) => position < 64)).toBe(true);
    expect(rows[1]!.slice(0, 4).every((position) => position % 4 === 3)).toBe(true);
    expect(rows[2]).toEqual(new Array(8).fill(0));
  });
});

test("a generator's seed decides, and log4N and draws are checked", async () => {
  setDevice(devices.at(-1)![1]);
  const key = randn([1, 64, 2, 4]);
  const chosen = (seed: number): Promise<unknown> =>
    khCompress(key, key, { generator: new Generator(seed) }).indices.toArray();
  expect(await chosen(1)).toEqual(await chosen(1));
  expect(await chosen(1)).not.toEqual(await chosen(2));
  expect([1, 3, 4, 1024].map(log4LargestPowerOfFour)).toEqual([0, 0, 1, 5]);
  expect(codeOf(() => khCompress(key, key, { log4N: 4 }))).toBe("argument");
  expect(codeOf(() => khCompress(key, key, { draws: [] }))).toBe("argument");
  expect(codeOf(() => khCompress(key, key, { delta: 2 }))).toBe("argument");
  expect(codeOf(() => khCompress(key, key, { g: 0.5 }))).toBe("argument");
  expect(codeOf(() => khCompress(key, ones([1, 64, 1, 4])))).toBe("shape");
  expect(codeOf(() => khCompress(key, key, { keyMask: ones([1, 64]) }))).toBe("shape");
});
