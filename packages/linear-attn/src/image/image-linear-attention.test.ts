import { cat, randn, type Tensor } from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { describe, expect, it } from "vitest";
import { ImageLinearAttention } from "./image-linear-attention.js";

const sizes = { keyDim: 3, valueDim: 5, heads: 2 };

describe("ImageLinearAttention", () => {
  it.each([
    [{ stride: 2 }, [1, 4, 3, 4]],
    [{ kernelSize: 3 }, [1, 4, 2, 3]],
    [{ kernelSize: 3, stride: 2, padding: 1, chanOut: 6 }, [1, 6, 3, 4]],
  ])("convolves with %o", async (options, shape) => {
    const attention = new ImageLinearAttention(4, { ...sizes, ...options });
    const [x, context] = [randn([1, 4, 6, 7]), randn([1, 4, 5, 4])];
    for (const y of [attention.forward(x), attention.forward(x, { context })]) {
      expect(y.shape).toEqual(shape);
    }
    attention.forward(x, { context }).square().sum().backward();
    expect(await attention.toK.weight.grad!.abs().max().item()).toBeGreaterThan(0);
  });

  it("sees a context like more of the image: all keys are scaled alike", async () => {
    const attention = new ImageLinearAttention(4, sizes);
    const image = randn([2, 4, 6, 3]);
    const [x, context] = image.split([4, 2], 2) as [Tensor, Tensor];
    const whole = attention.forward(image).narrow(2, 0, 4);
    await expectClose(attention.forward(x, { context }), whole, { relativeTo: "largest" });
    const row = cat([context.select(2, 0), context.select(2, 1)], -1);
    await expectClose(attention.forward(x, { context: row }), whole, { relativeTo: "largest" });
  });

  it("refuses what is no image", () => {
    expect(() => new ImageLinearAttention(4, sizes).forward(randn([4, 6]))).toThrow(
      "ImageLinearAttention: the input must be float32 [batch, chan, height, width], got float32 [4, 6].",
    );
  });
});
