/** Products with matrices of float16 and int8, which devices widen as they read them. */

import { beforeAll, describe, expect, test } from "vitest";
import { setDevice } from "../src/device/current.js";
import { profile } from "../src/plan/profile.js";
import { manualSeed, randint, randn } from "../src/random/index.js";
import { linear } from "../src/tensor/embedding.js";
import { memory } from "../src/tensor/realize.js";
import type { Tensor } from "../src/tensor/tensor.js";
import { expectClose } from "../src/testing/index.js";
import { devices } from "./devices.js";

describe.each(devices)("on %s", (name, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(6);
  });

  const narrow = async (shape: number[], dtype: "int8" | "float16"): Promise<Tensor> =>
    (dtype === "int8" ? randint(-127, 128, shape).cast(dtype) : randn(shape).cast(dtype)).realize();

  /** `x wᵀ` in float64. */
  async function product(x: Tensor, weight: Tensor): Promise<Float64Array> {
    const [a, b] = [await x.data(), await weight.data()];
    const [outputs, inputs] = weight.shape as [number, number];
    return Float64Array.from({ length: (a.length / inputs) * outputs }, (_, i) => {
      const [row, output] = [Math.floor(i / outputs), i % outputs];
      let sum = 0;
      for (let k = 0; k < inputs; k++) sum += a[row * inputs + k]! * b[output * inputs + k]!;
      return sum;
    });
  }

  test.each(["int8", "float16"] as const)("linear maps of %s, with what follows", async (dtype) => {
    const weight = await narrow([37, 50], dtype);
    const [scale, bias] = [await randn([37]).realize(), await randn([37]).realize()];
    const [factors, terms] = [await scale.data(), await bias.data()];
    for (const rows of [1, 3, 6, 41]) {
      const x = await randn([rows, 50]).realize();
      const expected = (await product(x, weight)).map(
        (value, i) => value * factors[i % 37]! + terms[i % 37]!,
      );
      await expectClose(linear(x, weight).mul(scale).add(bias), expected, {
        relative: 1e-5,
        relativeTo: "largest",
      });
    }
  });

  test("gradients flow through them, batches and narrow results of other work too", async () => {
    const weight = await narrow([37, 50], "int8");
    const x = await randn([9, 50], { requiresGrad: true }).realize();
    const cotangent = await randn([9, 37]).realize();
    linear(x, weight).backward(cotangent);
    const transposed = await weight.t().add(0).realize();
    await expectClose(x.grad!, await product(cotangent, transposed), {
      relative: 1e-5,
      relativeTo: "largest",
    });
    const [a, b] = [await randn([2, 3, 4, 8]).realize(), await randn([2, 1, 8, 5]).realize()];
    const rounded = await b.half().float().realize();
    await expectClose(a.matmul(b.half()), await a.matmul(rounded).data());
  });

  if (name !== "reference") {
    test("no float32 copy of the matrix is made", async () => {
      const weight = await narrow([1280, 1280], "int8");
      const before = memory().plans;
      for (const rows of [1, 30]) {
        const x = await randn([rows, 1280]).realize();
        const { kernels } = await profile(() => linear(x, weight).sum().item());
        for (const { bytes, calls } of kernels) {
          // One would be four times as large as the matrix, and be written and read.
          expect(bytes / calls).toBeLessThan(2 * 1280 * 1280);
        }
      }
      expect(memory().plans - before).toBeLessThan(2 * 1280 * 1280);
    });
  }
});
