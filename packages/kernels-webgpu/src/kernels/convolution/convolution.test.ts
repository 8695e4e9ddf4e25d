import { beforeAll, describe, expect, it } from "vitest";
import {
  conv1d,
  conv2d,
  profile,
  setDevice,
  type ConvolutionOptions,
  type Device,
  type Shape,
} from "@x/tensor";
import { expectLikeReference, numbers } from "../../../test/like-reference.js";
import { webgpu } from "../../index.js";

const cases: readonly {
  readonly x: Shape;
  readonly weight: Shape;
  readonly options?: ConvolutionOptions;
}[] = [
  { x: [1, 1, 5], weight: [1, 1, 3] },
  { x: [2, 3, 50], weight: [20, 3, 5], options: { padding: 2, stride: 3 } },
  { x: [2, 8, 40], weight: [6, 4, 3], options: { groups: 2, dilation: 2 } },
  { x: [2, 3, 9, 12], weight: [5, 3, 3, 2], options: { padding: [1, 2], stride: [2, 1] } },
  { x: [1, 8, 20, 16], weight: [70, 8, 3, 3], options: { padding: "same" } },
  { x: [2, 6, 18, 17], weight: [48, 3, 1, 1], options: { groups: 2 } },
  { x: [1, 4, 7, 8], weight: [4, 1, 3, 3], options: { groups: 4, padding: 1, dilation: 2 } },
];

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

describe("convolutions", () => {
  for (const { x: shape, weight, options } of cases) {
    it(`of ${shape.join("×")} with ${weight.join("×")} ${JSON.stringify(options ?? {})}`, async () => {
      await expectLikeReference(
        device,
        () => {
          const convolve = weight.length === 3 ? conv1d : conv2d;
          const [x, filters] = [numbers(1, shape), numbers(2, weight)];
          const last = shape.length - 1;
          const turned = numbers(3, shape.with(last, shape[1]!).with(1, shape[last]!));
          return [
            convolve(x, filters, options),
            convolve(turned.transpose(1, last), filters.flip([last]), options),
          ];
        },
        { relative: 1e-5, absolute: 1e-5 },
      );
    });
  }

  it("take one launch", async () => {
    setDevice(device);
    for (const { x, weight, options } of cases.filter((_, i) => i === 1 || i === 6)) {
      const convolve = weight.length === 3 ? conv1d : conv2d;
      const { kernels } = await profile(() =>
        convolve(numbers(1, x), numbers(2, weight), options).data(),
      );
      expect(kernels).toMatchObject([{ calls: 1 }]);
    }
  });
});
