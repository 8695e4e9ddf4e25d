/** That the bench of random features tells good features from others. */

import { beforeAll, expect, test } from "vitest";
import { setDevice, wasm } from "@x/tensor";
import { measureAttention, measureFeatures } from "../src/bench/features.js";

beforeAll(() => {
  setDevice(wasm());
});

test("simplex features have a small share of the error of orthogonal ones, and no bias", async () => {
  const simplex = await measureFeatures("simplex", 64, 0.5, 60);
  const orthogonal = await measureFeatures("orthogonal", 64, 0.5, 60);
  expect(simplex.meanSquare / orthogonal.meanSquare).toBeLessThan(0.15);
  expect(Math.abs(simplex.bias)).toBeLessThan(3 * simplex.standardError);
  expect(simplex.standardError).toBeLessThan(0.5 * orthogonal.standardError);
});

test("attention comes closer with more features, and closest with simplex ones", async () => {
  const [few, many] = [await measureAttention(0.0625, 64), await measureAttention(0.0625, 256)];
  expect(many.errors.simplex).toBeLessThan(0.6 * few.errors.simplex);
  expect(many.errors.simplex).toBeLessThan(0.7 * many.errors.orthogonal);
  expect(many.errors.simplex).toBeLessThan(0.7 * many.equalWeights);
});
