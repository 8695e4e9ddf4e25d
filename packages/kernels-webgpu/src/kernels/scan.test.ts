import { beforeAll, describe, expect, it } from "vitest";
import { fromData, setDevice, tensor, type Device, type Shape } from "@x/tensor";
import { expectLikeReference, numbers } from "../../test/like-reference.js";
import { webgpu } from "../index.js";

const cases: readonly { readonly shape: Shape; readonly axis: number }[] = [
  { shape: [1], axis: 0 },
  { shape: [37], axis: 0 },
  { shape: [3, 5], axis: 1 },
  { shape: [300, 3], axis: 0 },
  { shape: [2, 4, 16], axis: 1 },
  { shape: [2, 1, 6], axis: 1 },
  { shape: [3, 1024], axis: 1 },
  { shape: [2, 2500], axis: 1 },
  { shape: [70, 4100], axis: 0 },
];

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

for (const dtype of ["float32", "int32", "uint32"] as const) {
  describe(`scans of ${dtype}`, () => {
    const rounding = dtype === "float32" ? { relative: 1e-5, absolute: 1e-5 } : undefined;
    for (const { shape, axis } of cases) {
      it(`along axis ${axis} of ${shape.join("×")}`, async () => {
        await expectLikeReference(
          device,
          () => {
            const x = numbers(1, shape, dtype);
            return [x.cumsum(axis), x.add(dtype === "float32" ? 0.4 : 0).cumprod(axis)];
          },
          rounding,
        );
        await expectLikeReference(device, () => {
          // Ties, and not only rising starts.
          const x = numbers(2, shape, dtype).mul(8).round();
          const { values, indices } = x.flip([axis]).cummax(axis);
          const { indices: places } = x.cummin(axis);
          const { values: least } = numbers(3, shape, dtype).cummin(axis);
          return [values, indices, places, least];
        });
      });
    }
  });
}

describe("scans", () => {
  it("widen", async () => {
    await expectLikeReference(device, () => [
      numbers(1, [50], "int8").cumsum(0),
      numbers(2, [50], "bool").cumsum(0),
    ]);
  });

  it("let NaN win", async () => {
    await expectLikeReference(device, () => {
      const elements = Float32Array.from({ length: 200 }, (_, i) => Math.sin(i));
      for (const at of [70, 75, 130]) elements[at] = NaN;
      elements[20] = Infinity;
      elements[30] = -Infinity;
      const x = fromData(elements, [200]);
      const [max, min] = [x.cummax(0), x.cummin(0)];
      const [most, least] = [x.reshape([10, 20]).cummax(1), x.reshape([10, 20]).cummin(1)];
      return [max, min, most, least].flatMap(({ values, indices }) => [values, indices]);
    });
  });

  it("multiply what would not fit in parts", async () => {
    setDevice(device);
    const large = new Float32Array(100).fill(1e20);
    large[0] = 0;
    expect(await tensor(large).cumprod(0).data()).toEqual(new Float32Array(100));
    const mixed = Float32Array.from({ length: 100 }, (_, i) => ((i >> 3) % 2 === 0 ? 1e6 : 1e-6));
    const products = await tensor(mixed).div(1e30).mul(1e30).cumprod(0).data();
    expect(products[15]).toBeCloseTo(1, 3);
    expect(products[95]).toBeCloseTo(1, 3);
    const infinite = Float32Array.of(1, Infinity, 2, -3, 0, 5);
    expect([...(await tensor(infinite).cumprod(0).data())]).toEqual([
      1,
      Infinity,
      Infinity,
      -Infinity,
      NaN,
      NaN,
    ]);
  });
});
