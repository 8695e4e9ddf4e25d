import { beforeAll, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { setDevice } from "../device/current.js";
import { profile } from "../plan/profile.js";
import { tensor, zerosLike } from "../tensor/creation.js";
import type { Tensor } from "../tensor/tensor.js";
import { clipGradNorm, clipGradValue } from "./index.js";

function parameters(): Tensor[] {
  return [tensor([3, -4]), tensor([[12, 0]])].map((gradient) => {
    const parameter = zerosLike(gradient, { requiresGrad: true });
    parameter.grad = gradient;
    return parameter;
  });
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
  });

  describe("clipGradNorm", () => {
    const third = (27 + 64 + 1728) ** (1 / 3);
    test.each([
      [2, 13],
      [1, 19],
      [3, third],
      [Infinity, 12],
    ])("norm type %d", async (normType, expected) => {
      const owners = parameters();
      const norm = clipGradNorm(owners, 1, { normType });
      expect(await norm.item()).toBeCloseTo(expected, 4);
      const [first, second] = [await owners[0]!.grad!.data(), await owners[1]!.grad!.data()];
      expect(first[0]).toBeCloseTo(3 / expected, 5);
      expect(first[1]).toBeCloseTo(-4 / expected, 5);
      expect(second[0]).toBeCloseTo(12 / expected, 5);
    });

    test("leaves small gradients alone", async () => {
      const owners = parameters();
      clipGradNorm(owners, 100);
      expect(await owners[0]!.grad!.toArray()).toEqual([3, -4]);
    });

    test("computes everything when the norm is read", async () => {
      const weight = tensor([1, 2], { requiresGrad: true });
      const loss = weight.square().sum();
      loss.backward();
      const norm = clipGradNorm(weight, 1);
      expect(await norm.item()).toBeCloseTo(Math.sqrt(20), 5);
      const { result, kernels } = await profile(async () => [
        await loss.item(),
        await weight.grad!.data(),
      ]);
      expect(result[0]).toBe(5);
      expect(kernels).toEqual([]);
    });

    test("is 0 where there are no gradients", async () => {
      expect(await clipGradNorm([tensor([1], { requiresGrad: true })], 1).item()).toBe(0);
    });

    test("refuses limits that are none", () => {
      expect(() => clipGradNorm([], NaN)).toThrow(
        "clipGradNorm: maxNorm must be at least 0, got NaN.",
      );
      expect(() => clipGradNorm([], 1, { normType: 0 })).toThrow(
        "normType must be above 0, got 0.",
      );
      expect(() => clipGradValue([], -1)).toThrow("the limit must be at least 0, got -1.");
    });
  });

  test("clipGradValue limits every element", async () => {
    const owners = parameters();
    clipGradValue(owners, 3.5);
    expect(await owners[0]!.grad!.toArray()).toEqual([3, -3.5]);
    expect(await owners[1]!.grad!.toArray()).toEqual([[3.5, 0]]);
  });
});
