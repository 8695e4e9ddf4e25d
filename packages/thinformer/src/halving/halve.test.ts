import { beforeAll, describe, expect, test } from "vitest";
import { manualSeed, ones, rand, randn, setDevice, tensor, zeros } from "@x/tensor";
import { Generator } from "@x/tensor/random";
import { codeOf } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { expKernel, halve, halveK } from "../index.js";

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(2);
  });

  test("halving keys and values is halving their kernel matrix", async () => {
    const [key, value] = [randn([2, 3, 8, 2, 4]).mul(0.5), randn([2, 3, 8, 2, 5])];
    const [shift, bSqd] = [ones([2, 1, 2, 1, 1]), ones([2, 1, 2, 1, 1]).mul(4)];
    const draws = { uniforms: rand([2, 3, 2, 4]), bernoulli: rand([2, 3, 2]).lt(0.5) };
    const half = halve(key, value, shift, bSqd, 1e-3, { draws });
    const kernel = expKernel(key, value, shift, bSqd);
    const chosen = halveK(kernel, { delta: 1e-3 * 64, symmetrize: true, draws });
    expect(await half.coreset.toArray()).toEqual(await chosen.toArray());
    const first = await half.coreset.slice(1, 2, 0, 3).item();
    const expected = await key.slice(1, 2, first, 0).toArray();
    expect(await half.key.slice(1, 2, 3, 0).toArray()).toEqual(expected);
  });

  test("equal keys, and values of 0, give one of each pair", async () => {
    for (const value of [zeros([1, 1, 8, 1, 2]), ones([1, 1, 8, 1, 2])]) {
      const one = zeros([1, 1, 1, 1, 1]);
      const { coreset } = halve(ones([1, 1, 8, 1, 3]), value, one, one, 1e-3);
      const pairs = [...(await coreset.data())].map((position) => Math.floor(position / 2));
      expect(pairs).toEqual([0, 1, 2, 3]);
    }
  });
});

test("each problem has a random bit of its own, and with the original's all have one", async () => {
  setDevice(devices.at(-1)![1]);
  const kernel = zeros([4, 8, 4, 2, 2]);
  const bits = async (compat: "reference" | null): Promise<number> => {
    const options = { symmetrize: true, compat, generator: new Generator(3) };
    return halveK(kernel, options).cast("float32").mean().item();
  };
  const [own, shared] = [await bits(null), await bits("reference")];
  expect(own).toBeGreaterThan(0.2);
  expect(own).toBeLessThan(0.8);
  expect([0, 1]).toContain(shared);
  expect(await halveK(kernel).sum().item()).toBe(0);
});

test("what does not fit is refused", () => {
  const one = tensor(1).reshape([1, 1, 1, 1, 1]);
  const key = ones([1, 2, 4, 1, 2]);
  expect(codeOf(() => halveK(ones([1, 1, 1, 3, 3])))).toBe("shape");
  expect(codeOf(() => halveK(ones([1, 1, 1, 4, 4]), { delta: 0 }))).toBe("argument");
  expect(codeOf(() => halve(key.narrow(2, 0, 3), key.narrow(2, 0, 3), one, one, 1))).toBe("shape");
  expect(codeOf(() => halve(key, ones([1, 2, 4, 2, 2]), one, one, 1))).toBe("shape");
  expect(codeOf(() => halve(key, key, one, ones([2, 1, 1, 1, 1]), 1))).toBe("shape");
  const draws = { uniforms: rand([1, 2, 1, 3]) };
  expect(codeOf(() => halve(key, key, one, one, 1, { draws }))).toBe("shape");
  const compat = "original" as "reference";
  expect(codeOf(() => halve(key, key, one, one, 1, { compat }))).toBe("argument");
});
