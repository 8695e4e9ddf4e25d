import { beforeAll, describe, expect, it } from "vitest";
import { cumulativeLinearAttention, layerNorm, rmsNorm, type Device, type Tensor } from "@x/tensor";
import { plainDevice } from "../../test/devices.js";
import { launchesOf } from "../../test/launches.js";
import { expectLikeReference, numbers } from "../../test/like-reference.js";
import { webgpu } from "../index.js";

const rounding = { relative: 1e-5, absolute: 1e-5, relativeTo: "largest" } as const;

let device: Device;
beforeAll(async () => {
  // 16 KiB for a workgroup, 8 buffers.
  device = await webgpu({ device: await plainDevice() });
});

type Program = () => readonly Tensor[];

const layer = (x: Tensor, size: number): Tensor =>
  layerNorm(x, size, { weight: numbers(8, [size]), bias: numbers(9, [size]) });

const products: Record<string, Program> = {
  "layer norm, matrix as in a linear layer": () => [
    layer(numbers(1, [1, 132]), 132).matmul(numbers(2, [70, 132]).t()),
  ],
  "four rows, bias and activation": () => [
    layer(numbers(1, [4, 64]), 64)
      .matmul(numbers(2, [64, 33]))
      .add(numbers(3, [33]))
      .tanh(),
  ],
  "RMS norm of an odd size": () => [
    rmsNorm(numbers(1, [3, 71]), 71, { weight: numbers(3, [71]) }).matmul(numbers(2, [71, 10])),
  ],
  "norm without weights, vectors on the right": () => [
    numbers(2, [50, 300]).matmul(layerNorm(numbers(1, [2, 300]), 300).t()),
  ],
  "rows longer than registers": () => [
    layer(numbers(1, [1, 2900]), 2900).matmul(numbers(2, [6, 2900]).t()),
  ],
  "more results than workgroups": () => [
    layer(numbers(1, [2, 40]), 40).matmul(numbers(2, [40, 20000])),
  ],
  "residual of the rows themselves": () => {
    const x = numbers(1, [2, 64]).add(1);
    return [
      layer(x, 64)
        .matmul(numbers(2, [64, 64]).t())
        .add(x),
    ];
  },
};

/** A step of attention whose queries and keys are normalized head by head. */
function step(tokens: number, heads: number, group: number, d: number): readonly Tensor[] {
  const split = (seed: number, count: number): Tensor =>
    numbers(seed, [2, tokens, count * d])
      .reshape([2, tokens, count, d])
      .transpose(1, 2);
  const { output, state } = cumulativeLinearAttention(
    layer(split(1, heads * group), d),
    rmsNorm(split(2, heads), d),
    split(3, heads),
    { causal: true, state: numbers(4, [2, heads, d, d]) },
  );
  return [output, state];
}

describe("norms", { timeout: 120_000 }, () => {
  for (const [name, program] of Object.entries(products)) {
    it(`are computed by the product that reads them: ${name}`, async () => {
      const names = (await launchesOf(device, program)).filter(
        (kernel) => !kernel.startsWith("loop"),
      );
      expect(names).toEqual([expect.stringContaining("matmul")]);
    });
  }

  it("are computed by several products that read them", async () => {
    const names = await launchesOf(device, () => {
      const x = layer(numbers(1, [1, 64]), 64);
      return [x.matmul(numbers(2, [64, 20])), x.matmul(numbers(3, [64, 12]))];
    });
    expect(names).toHaveLength(2);
  });

  it.each([
    [1, 3, 1, 20],
    [3, 2, 2, 32],
  ])("are computed by a step of attention of %i tokens", async (...sizes) => {
    const names = await launchesOf(device, () => step(...sizes));
    expect(names.filter((name) => name.includes("orm"))).toEqual([]);
  });

  const others: Record<string, Program> = {
    "others read them too": () => {
      const x = layer(numbers(1, [1, 64]), 64);
      return [x.matmul(numbers(2, [64, 20])), x.exp().sum()];
    },
    "they are wanted": () => {
      const x = layer(numbers(1, [1, 64]), 64);
      return [x, x.matmul(numbers(2, [64, 20]))];
    },
    "rows are many": () => [layer(numbers(1, [9, 64]), 64).matmul(numbers(2, [64, 20]))],
    "the product takes parts of rows": () => [
      layer(numbers(1, [1, 64]), 64)
        .reshape([2, 32])
        .matmul(numbers(2, [32, 20])),
    ],
    "workgroups have no room for the rows": () => [
      layer(numbers(1, [4, 1000]), 1000).matmul(numbers(2, [1000, 5])),
    ],
  };
  for (const [name, program] of Object.entries(others)) {
    it(`have a launch of their own where ${name}`, async () => {
      const names = await launchesOf(device, program);
      expect(names.filter((kernel) => kernel.startsWith("layerNorm"))).toHaveLength(1);
    });
  }

  it("are computed before what they read is overwritten", async () => {
    await expectLikeReference(
      device,
      () => {
        const x = numbers(1, [1, 64]);
        const y = layer(x, 64).matmul(numbers(2, [64, 64]).t());
        x.assign(y);
        return [x, y.mul(2)];
      },
      rounding,
    );
  });
});
