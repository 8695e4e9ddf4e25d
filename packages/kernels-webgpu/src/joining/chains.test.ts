import { beforeAll, describe, expect, it } from "vitest";
import { layerNorm, rmsNorm, type Device, type Tensor } from "@x/tensor";
import { plainDevice } from "../../test/devices.js";
import { launchesOf } from "../../test/launches.js";
import { numbers } from "../../test/like-reference.js";
import { webgpu } from "../index.js";

let device: Device;
beforeAll(async () => {
  // 16 KiB for a workgroup, 8 buffers.
  device = await webgpu({ device: await plainDevice() });
});

type Program = () => readonly Tensor[];

interface Sizes {
  readonly rows?: number;
  readonly width: number;
  readonly hidden: number;
  readonly isRowMajor?: boolean;
}

const norm = (x: Tensor, seed: number): Tensor => {
  const width = x.shape.at(-1)!;
  return layerNorm(x, width, { weight: numbers(seed, [width]), bias: numbers(seed + 1, [width]) });
};

/** A feed-forward network with its norm and residual, as layers before their norms have it. */
function feedForward(x: Tensor, { width, hidden, isRowMajor = false }: Sizes, seed = 10): Tensor {
  const matrix = (seed: number, from: number, to: number): Tensor =>
    isRowMajor ? numbers(seed, [from, to]) : numbers(seed, [to, from]).t();
  const inner = norm(x, seed)
    .matmul(matrix(seed + 2, width, hidden))
    .add(numbers(seed + 3, [hidden]))
    .gelu();
  return x.add(inner.matmul(matrix(seed + 4, hidden, width)).add(numbers(seed + 5, [width])));
}

describe("products that feed products", { timeout: 120_000 }, () => {
  const cases: readonly Sizes[] = [
    { width: 64, hidden: 256 },
    { width: 36, hidden: 100, rows: 3 },
    { width: 21, hidden: 70 },
    { width: 40, hidden: 900, isRowMajor: true },
  ];
  for (const sizes of cases) {
    it(`are one launch, the next norm another: ${JSON.stringify(sizes)}`, async () => {
      const { rows = 1, width } = sizes;
      const program = (): readonly Tensor[] => [
        norm(feedForward(numbers(1, [rows, width]), sizes), 20),
      ];
      expect(await launchesOf(device, program)).toHaveLength(2);
    });
  }

  it("leave parts that the next product adds up, and stores for others", async () => {
    const sizes = { width: 64, hidden: 256 };
    const program = (): readonly Tensor[] => {
      const x = feedForward(numbers(1, [2, 64]), sizes);
      const y = rmsNorm(x, 64).matmul(numbers(3, [64, 80]));
      return [y, y.matmul(numbers(4, [80, 64])).add(x)];
    };
    expect(await launchesOf(device, program)).toHaveLength(3);
  });

  const others: Record<string, [launches: number, program: Program]> = {
    "no norm follows": [2, () => [feedForward(numbers(1, [1, 64]), { width: 64, hidden: 256 })]],
    "rows are many": [
      4,
      () => [norm(feedForward(numbers(1, [9, 64]), { width: 64, hidden: 256 }), 20)],
    ],
    "another reads what is between": [
      4,
      () => {
        const x = numbers(1, [1, 64]).matmul(numbers(2, [64, 128]));
        return [norm(x.matmul(numbers(3, [128, 64])), 20), x.cumsum(1)];
      },
    ],
    "more than a sum is done to the result": [
      3,
      () => {
        const x = numbers(1, [1, 64]).matmul(numbers(2, [64, 128]));
        return [norm(x.matmul(numbers(3, [128, 64])).exp(), 20)];
      },
    ],
    "a workgroup would read too much": [
      3,
      () => [
        norm(
          feedForward(numbers(1, [1, 2000]), { width: 2000, hidden: 1000, isRowMajor: true }),
          20,
        ),
      ],
    ],
  };
  for (const [name, [count, program]] of Object.entries(others)) {
    it(`are launches of their own where ${name}`, async () => {
      expect(await launchesOf(device, program)).toHaveLength(count);
    });
  }
});
