import { expect, test } from "vitest";
import { alibiSlopes } from "./alibi.js";
import { scaledFrequencies } from "./rotary.js";

const plain = Array.from({ length: 8 }, (_, i) => 10000 ** (-i / 8));

test("linear scaling divides all frequencies", () => {
  const scaled = scaledFrequencies(16, 10000, { type: "linear", factor: 4 });
  scaled.forEach((frequency, i) => {
    expect(frequency).toBeCloseTo(plain[i]! / 4, 12);
  });
});

test("Llama 3's scaling keeps fast frequencies, divides slow ones, and mixes those between", () => {
  const scaled = scaledFrequencies(16, 10000, {
    type: "llama3",
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositions: 64,
  });
  // Waves of 2π · 10^(i / 2) positions: 6.3, 19.9, 62.8, 199 … against 64 / 4 and 64 / 1.
  const share = (64 / (2 * Math.PI * 10 ** 0.5) - 1) / 3;
  const middle = (64 / (2 * Math.PI * 10) - 1) / 3;
  const expected = plain.map((frequency, i) => {
    const kept = i === 0 ? 1 : i === 1 ? share : i === 2 ? middle : 0;
    return kept * frequency + ((1 - kept) * frequency) / 8;
  });
  scaled.forEach((frequency, i) => {
    expect(frequency / expected[i]!).toBeCloseTo(1, 10);
  });
});

test("YaRN's scaling has a ramp between pairs", () => {
  const scaled = scaledFrequencies(16, 10000, {
    type: "yarn",
    factor: 4,
    originalMaxPositions: 2048,
  });
  // Pair 2.0 turns 32 times in 2048 positions, pair 5.03 once: the ramp goes from 2 to 6.
  const kept = [1, 1, 1, 0.75, 0.5, 0.25, 0, 0];
  scaled.forEach((frequency, i) => {
    expect(frequency / plain[i]!).toBeCloseTo(kept[i]! + (1 - kept[i]!) / 4, 10);
  });
});

test("ALiBi's slopes are powers, with every second one between for odd numbers of heads", async () => {
  expect(await alibiSlopes(4).flatten().toArray()).toEqual([0.25, 0.0625, 0.015625, 0.00390625]);
  const six = await alibiSlopes(6).flatten().toArray();
  const expected = [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125];
  expect(six).toEqual(expected);
});
