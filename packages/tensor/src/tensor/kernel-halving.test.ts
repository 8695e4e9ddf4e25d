import { expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { reference } from "../reference/device.js";
import { ones, tensor } from "./creation.js";
import { kernelHalving } from "./kernel-halving.js";

// What follows lives there too.
setDevice(reference());

const key = tensor([0, 1, 0, 1, 0, 1, 0, 1]).reshape([1, 1, 8, 1]);
const options = { bucket: 2, rounds: 2, offsets: ones([1, 1, 5]), draws: ones([1, 1, 8]) };

test("each round halves what the one before it kept", () => {
  // Four buckets of two, then one of four: 4 positions, then 2.
  const draws = ones([1, 1, 6]);
  expect(kernelHalving(key, key, { ...options, draws }).shape).toEqual([1, 1, 6]);
});

test("a bucket whose first draw is negative keeps the others", async () => {
  const one = { bucket: 8, rounds: 1, offsets: ones([1, 1, 1]) };
  const kept = async (first: number) =>
    kernelHalving(key, key, { ...one, draws: tensor([[[first, 0.01, 0.01, 0.01]]]) }).toArray();
  expect(await kept(1)).toEqual([[[0, 3, 4, 7]]]);
  expect(await kept(-1)).toEqual([[[1, 2, 5, 6]]]);
});

test("of a pair with one member that takes part, that one is kept", async () => {
  const weights = tensor([[0, 1, 1, 0, 0, 0, 1, 1]]);
  const draws = ones([1, 1, 4]);
  const one = { bucket: 8, rounds: 1, offsets: ones([1, 1, 1]), draws, weights };
  const kept = (await kernelHalving(key, key, one).toArray()) as number[][][];
  expect(kept[0]![0]!.slice(0, 3)).toEqual([1, 2, 4]);
});

test("what does not fit is refused", () => {
  const halve = (changed: object) => () => kernelHalving(key, key, { ...options, ...changed });
  const draws = ones([1, 1, 6]);
  expect(halve({ bucket: 3 })).toThrow(
    "kernelHalving: buckets have an even number of entries, got 3.",
  );
  expect(halve({ rounds: 0 })).toThrow("kernelHalving: there must be at least one round, got 0.");
  expect(halve({ rounds: 3 })).toThrow(
    "kernelHalving: the last round must have a bucket of 8 entries, got keys of length 8.",
  );
  expect(halve({})).toThrow(
    "kernelHalving: the draws must have the shape [1, 1, 6], got [1, 1, 8].",
  );
  expect(halve({ draws, offsets: ones([1, 1, 3]) })).toThrow(
    "the offsets must have the shape [1, 1, 5]",
  );
  expect(halve({ draws, weights: ones([8]) })).toThrow("the weights must have the shape [1, 8]");
  expect(() => kernelHalving(key, key.at(0), options)).toThrow(
    "keys and values must have the axes",
  );
});
