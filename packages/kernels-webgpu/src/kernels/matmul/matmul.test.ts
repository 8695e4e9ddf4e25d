import { beforeAll, describe, expect, it } from "vitest";
import { profile, realize, type Device, type DType, type Shape, type Tensor } from "@x/tensor";
import { expectLikeReference, numbers } from "../../../test/like-reference.js";
import { webgpu } from "../../index.js";

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

/** Names of the kernels that compute the results. */
async function launches(program: () => readonly Tensor[]): Promise<string[]> {
  const { kernels } = await profile(() => realize(...program()));
  return kernels.map(({ name }) => name);
}

/** Sums of `k` products lose about as much as their number says. */
const rounding = { relative: 1e-5, absolute: 1e-5 };

/** A matrix in memory as its transpose, or as it is. */
function matrix(
  seed: number,
  shape: Shape,
  isTransposed = false,
  dtype: DType = "float32",
): Tensor {
  if (!isTransposed) return numbers(seed, shape, dtype);
  const rank = shape.length;
  return numbers(
    seed,
    [...shape.slice(0, -2), shape[rank - 1]!, shape[rank - 2]!],
    dtype,
  ).transpose(-1, -2);
}

const sizes: readonly (readonly [m: number, n: number, k: number])[] = [
  [0, 3, 4],
  [3, 4, 0],
  [1, 1, 1],
  [3, 5, 2],
  [33, 65, 70],
  [64, 36, 128],
  [130, 33, 8],
  [1, 33, 130],
  [1, 36, 132],
  [3, 64, 256],
  [65, 2, 130],
  [4, 4, 300],
  [100, 72, 20],
];

describe("matmul", () => {
  for (const [m, n, k] of sizes) {
    it(`of ${m}×${k} and ${k}×${n}`, async () => {
      await expectLikeReference(
        device,
        () =>
          [false, true].flatMap((left) =>
            [false, true].map((right) => matrix(1, [m, k], left).matmul(matrix(2, [k, n], right))),
          ),
        rounding,
      );
    });
  }
});

describe("matmul of batches", () => {
  it("of 3 and 1, 2 and 1 × 5", async () => {
    await expectLikeReference(
      device,
      () => [
        matrix(1, [3, 33, 12]).matmul(matrix(2, [1, 12, 40], true)),
        matrix(1, [2, 1, 20, 66], true).matmul(matrix(2, [5, 66, 36])),
        matrix(1, [2, 1, 68]).matmul(matrix(2, [2, 68, 20])),
        matrix(1, [3, 68, 20])
          .transpose(0, 2)
          .matmul(matrix(2, [20, 3, 12])),
      ],
      rounding,
    );
  });

  it("of views that do not begin at a multiple of four, or have other strides", async () => {
    await expectLikeReference(
      device,
      () => {
        const x = numbers(1, [60, 80]);
        const cut = x.slice([1, 57], [2, 74]);
        const flipped = x.flip([1]);
        return [
          cut.matmul(x.slice([0, 40], [0, 72]).transpose(0, 1)),
          x.matmul(flipped.transpose(0, 1)),
          x.matmul(x.transpose(0, 1)),
        ];
      },
      rounding,
    );
  });
});

describe("matmul with an epilogue", () => {
  for (const [m, n, k] of [
    [40, 36, 80],
    [33, 35, 70],
    [2, 36, 128],
    [35, 3, 100],
    [5, 6, 7],
  ] as const) {
    it(`of ${m}×${k} and ${k}×${n}: bias, gelu and residual in one launch`, async () => {
      const program = (): Tensor[] => {
        const [x, weight] = [numbers(1, [m, k]), numbers(2, [n, k])];
        const [bias, residual] = [numbers(3, [n]), numbers(4, [m, n])];
        return [x.matmul(weight.transpose(0, 1)).add(bias).gelu().mul(3).add(residual)];
      };
      await expectLikeReference(device, program, rounding);
      expect(await launches(program)).toEqual([]);
    });
  }
});
