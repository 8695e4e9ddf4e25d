import { beforeAll, describe, expect, it } from "vitest";
import {
  crossEntropy,
  fromData,
  grad,
  layerNorm,
  rmsNorm,
  setDevice,
  tensor,
  type Device,
  type Shape,
  type Tensor,
} from "@x/tensor";
import { randomNumbers } from "@x/tensor/testing";
import { expectLikeReference, numbers } from "../../../test/like-reference.js";
import { webgpu } from "../../index.js";

/** Rows in registers and such that are not, as vectors and not, of one team a workgroup and more. */
const cases: readonly { readonly shape: Shape; readonly axis: number }[] = [
  { shape: [1], axis: 0 },
  { shape: [3, 7], axis: 1 },
  { shape: [9, 4], axis: 1 },
  { shape: [5, 64], axis: 1 },
  { shape: [6000, 24], axis: 1 },
  { shape: [3, 2050], axis: 1 },
  { shape: [2, 4100], axis: 1 },
  { shape: [2, 7, 39], axis: 1 },
  { shape: [300, 5], axis: 0 },
];

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

/** The gradients of the sum of the results, each with a factor of its own. */
function gradients(f: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): Tensor[] {
  const loss = (...given: Tensor[]): Tensor => {
    const y = f(...given);
    return y.mul(numbers(99, y.shape)).sum();
  };
  return grad(
    loss,
    inputs.map((_, i) => i),
  )(...inputs);
}

describe("softmax", () => {
  const close = { relative: 1e-5, absolute: 1e-6 };

  for (const { shape, axis } of cases) {
    it(`of ${shape.join("×")} along axis ${axis}, its logarithm and gradients`, async () => {
      await expectLikeReference(
        device,
        () => {
          const x = numbers(1, shape).mul(10);
          return [
            x.softmax(axis),
            x.logSoftmax(axis),
            x.logsumexp(axis),
            ...gradients((given) => given.softmax(axis), [x]),
            ...gradients((given) => given.logSoftmax(axis), [x]),
          ];
        },
        close,
      );
    });
  }

  it("is defined where numbers are not finite", async () => {
    await expectLikeReference(
      device,
      () => {
        const elements = Float32Array.from({ length: 8 * 12 }, (_, i) => i % 5);
        elements.fill(-Infinity, 0, 12);
        elements[12 + 8] = NaN;
        elements[24] = NaN;
        elements[36 + 3] = Infinity;
        elements[48 + 5] = -Infinity;
        elements[60 + 1] = Infinity;
        elements[60 + 2] = NaN;
        elements[72 + 6] = -1e30;
        elements.fill(1e38, 84, 90);
        const x = fromData(elements, [8, 12]);
        return [0, 1].flatMap((axis) => [x.softmax(axis), x.logSoftmax(axis), x.logsumexp(axis)]);
      },
      close,
    );
  });

  it("gives exactly 0 to what is masked", async () => {
    setDevice(device);
    const y = await tensor([1, -Infinity, 2, -1e30, -Infinity, 3, -Infinity]).softmax(0).data();
    expect([1, 3, 4, 6].map((i) => y[i])).toEqual([0, 0, 0, 0]);
  });

  it("takes rows of several axes", async () => {
    await expectLikeReference(
      device,
      () => {
        const x = numbers(1, [3, 4, 5, 2]).mul(30);
        return [x.logsumexp([1, 2]), x.logsumexp([0, 1, 2, 3]), x.logsumexp([0, 2])];
      },
      close,
    );
  });
});

describe("norms", () => {
  const shapes: readonly { readonly shape: Shape; readonly row: Shape }[] = [
    { shape: [7], row: [7] },
    { shape: [3, 1], row: [1] },
    { shape: [11, 4], row: [4] },
    { shape: [2, 3, 4, 5], row: [4, 5] },
    { shape: [900, 20], row: [20] },
    { shape: [600, 34], row: [34] },
    { shape: [3, 4100], row: [4100] },
  ];
  for (const { shape, row } of shapes) {
    it(`of ${shape.join("×")} over ${row.join("×")}, and their gradients`, async () => {
      await expectLikeReference(
        device,
        () => {
          const x = numbers(1, shape).add(0.3);
          const [weight, bias] = [numbers(2, row), numbers(3, row)];
          return [
            layerNorm(x, row),
            layerNorm(x, row, { weight, bias }),
            rmsNorm(x, row, { weight }),
            ...gradients((given) => layerNorm(given, row), [x]),
            ...gradients((a, b, c) => layerNorm(a, row, { weight: b, bias: c }), [x, weight, bias]),
            ...gradients((a, b) => layerNorm(a, row, { bias: b }), [x, bias]),
            ...gradients((a, b) => rmsNorm(a, row, { weight: b }), [x, weight]),
          ];
        },
        { relative: 1e-5, absolute: 1e-5, relativeTo: "largest" },
      );
    });
  }
});

describe("cross entropy", () => {
  /** Classes, some of them ignored. */
  function targets(count: number, classes: number, ignored: number): Tensor {
    const random = randomNumbers(count);
    const elements = Int32Array.from({ length: count }, () =>
      random() < 0.2 ? ignored : Math.floor(random() * classes),
    );
    return fromData(elements, [count]);
  }
  for (const [rows, classes] of [
    [5, 1],
    [6, 4],
    [70, 33],
    [9, 64],
    [3, 4100],
  ] as const) {
    it(`of ${rows} rows with ${classes} classes, and its gradient`, async () => {
      for (const ignoreIndex of [-100, 0]) {
        await expectLikeReference(
          device,
          () => {
            const target = targets(rows, classes, ignoreIndex);
            const x = numbers(1, [rows, classes]).mul(5);
            const weight = numbers(2, [classes]).abs();
            return [
              {},
              { weight },
              { labelSmoothing: 0.1 },
              { weight, labelSmoothing: 0.1 },
            ].flatMap((options) => {
              const loss = (given: Tensor): Tensor =>
                crossEntropy(given, target, { ...options, ignoreIndex, reduction: "none" });
              return [loss(x), ...gradients(loss, [x])];
            });
          },
          { relative: 1e-5, absolute: 1e-5 },
        );
      }
    });
  }

  it("passes over targets that are no class", async () => {
    await expectLikeReference(
      device,
      () => {
        const x = numbers(1, [4, 6]);
        // What has to be computed is not checked when it is recorded.
        const target = tensor([6, -7, 2, -100], { dtype: "int32" }).add(0);
        const loss = (given: Tensor): Tensor => crossEntropy(given, target, { reduction: "none" });
        return [loss(x), ...gradients(loss, [x])];
      },
      { relative: 1e-5, absolute: 1e-6 },
    );
  });
});

describe("rows of one buffer", () => {
  it("may lie beside other operands, wherever they start", async () => {
    await expectLikeReference(
      device,
      () => {
        const all = numbers(1, [70]);
        const normalize = (given: Tensor): Tensor =>
          layerNorm(given.narrow(0, 3, 48).reshape([6, 8]), [8], {
            weight: given.narrow(0, 51, 8),
            bias: given.narrow(0, 59, 8),
          });
        const loss = (given: Tensor): Tensor => {
          const target = tensor([0, 1, 2, 3, 4, 5], { dtype: "int32" });
          const rows = given.narrow(0, 0, 48).reshape([6, 8]);
          const losses = crossEntropy(rows, target, { reduction: "none" });
          return losses.mul(given.narrow(0, 48, 6));
        };
        return [
          normalize(all),
          loss(all),
          ...gradients(normalize, [all]),
          ...gradients(loss, [all]),
        ];
      },
      { relative: 1e-5, absolute: 1e-5 },
    );
  });
});
