import { beforeAll, describe, expect, it } from "vitest";
import { fromData, profile, setDevice, type Device, type Shape } from "@x/tensor";
import { expectLikeReference, numbers } from "../../test/like-reference.js";
import { webgpu } from "../index.js";

/** One invocation an output, teams along and across, and such that are cut into parts. */
const cases: readonly { readonly shape: Shape; readonly axis: number }[] = [
  { shape: [7, 20], axis: 1 },
  { shape: [7, 45], axis: 1 },
  { shape: [150, 50], axis: 0 },
  { shape: [2, 300, 3], axis: 1 },
  { shape: [17000], axis: 0 },
  { shape: [3, 17001], axis: 1 },
  { shape: [5003, 3], axis: 0 },
  { shape: [1501, 37], axis: 0 },
];

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

describe("reductions", () => {
  for (const { shape, axis } of cases) {
    it(`of ${shape.join("×")} along axis ${axis}`, async () => {
      await expectLikeReference(device, () => {
        const x = numbers(1, shape);
        // Ties, so that the first has to be found.
        const [tied, whole] = [numbers(2, shape).mul(8).round(), numbers(3, shape, "int32")];
        return [
          x.amax(axis),
          x.neg().amin(axis).mul(2),
          tied.argmax(axis),
          tied.flip([axis]).argmin(axis),
          whole.sum(axis),
          whole.amin(axis),
          whole.abs().argmax(axis).add(1),
          whole.gt(-99).all(axis),
          numbers(4, shape, "uint32").amax(axis),
        ];
      });
      await expectLikeReference(
        device,
        () => {
          const x = numbers(1, shape);
          return [x.sum(axis).exp(), x.mul(0.01).add(1).prod(axis), x.var(axis)];
        },
        { relative: 1e-5, absolute: 1e-5, relativeTo: "largest" },
      );
    });
  }

  it("let NaN win, wherever it is", async () => {
    await expectLikeReference(device, () => {
      const elements = Float32Array.from({ length: 3 * 17000 }, (_, i) => Math.sin(i));
      elements[16900] = NaN;
      elements[17000 + 5000] = Infinity;
      elements[2 * 17000 + 12000] = NaN;
      elements[2 * 17000 + 12345] = NaN;
      return [1, 0].flatMap((axis) => {
        const x = axis === 1 ? fromData(elements, [3, 17000]) : fromData(elements, [17000, 3]);
        return [x.amax(axis), x.amin(axis), x.argmax(axis), x.argmin(axis)];
      });
    });
  });

  it("are cut into parts where there are few and they are long", async () => {
    setDevice(device);
    const calls = async (shape: Shape): Promise<number> => {
      const { kernels } = await profile(() => numbers(1, shape).sum(0).data());
      return kernels.reduce((sum, kernel) => sum + kernel.calls, 0);
    };
    expect(await calls([5000])).toBe(1);
    expect(await calls([50000])).toBe(2);
    expect(await calls([2000, 64])).toBe(2);
    expect(await calls([64, 2000])).toBe(1);
  });
});
