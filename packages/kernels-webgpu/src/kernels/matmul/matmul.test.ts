import { beforeAll, describe, expect, it } from "vitest";
import { profile, realize, type Device, type DType, type Shape, type Tensor } from "@x/tensor";
import type { NativeStep, Operand } from "@x/tensor/device";
import { validateShader } from "../../../test/null-backend.js";
import { expectLikeReference, numbers } from "../../../test/like-reference.js";
import { Stubborn } from "../../../test/stubborn.js";
import { requestGpu } from "../../adapter/request.js";
import { deviceOf } from "../../device.js";
import { webgpu } from "../../index.js";
import type { LoweringContext } from "../../native.js";
import { ShaderBuilder } from "../../wgsl/shader.js";
import { matmulKernel } from "./index.js";
import { tilingsFor } from "./tiling.js";

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

/** Names of the kernels that compute the results, also of those that share a launch. */
async function launches(program: () => readonly Tensor[]): Promise<string[]> {
  const { kernels } = await profile(() => realize(...program()));
  return [...new Set(kernels.flatMap(({ name }) => name.split(" | ")))];
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

describe("matmul of narrower numbers", () => {
  for (const [m, n, k] of [
    [5, 6, 7],
    [1, 36, 128],
    [33, 35, 70],
  ] as const) {
    it(`reads them as they are: ${m}×${k} and ${k}×${n}`, async () => {
      const program = (): Tensor[] => {
        const [half, byte] = [matrix(1, [m, k], false, "float16"), matrix(2, [k, n], true, "int8")];
        return [half.matmul(matrix(3, [k, n], false, "float16")), half.float().matmul(byte)];
      };
      await expectLikeReference(device, program, { relative: 1e-5, absolute: 1e-3 });
      expect(await launches(program)).toEqual([`matmul ${m}x${n}x${k}`]);
    });
  }

  it("are valid shaders where the device has float16", async () => {
    const [m, n, k] = [64, 64, 128];
    const operand = (buffer: number, shape: Shape, strides: readonly number[]): Operand => ({
      buffer,
      dtype: "float16",
      shape,
      strides,
      offset: 0,
    });
    const features = new Set(["shader-f16"]);
    const context: LoweringContext = {
      features,
      workgroupBytes: 16384,
      workgroupSize: 256,
      mostBuffers: 8,
      shader: () => new ShaderBuilder(features),
      workspace: () => 3,
      choose: (_key, [first]) => first,
    };
    for (const rows of [1, m]) {
      for (const strides of [
        [n, 1],
        [1, k],
      ] as const) {
        const inputs = [operand(0, [rows, k], [k, 1]), operand(1, [k, n], strides)];
        // A step with no more than the kernel reads.
        const step: Partial<NativeStep> = { inputs, outputs: [2], epilogue: null };
        const [launch] = matmulKernel.lower(step as NativeStep, context);
        expect(launch!.shader).toContain("vec4<f16>");
        expect(await validateShader(launch!.shader)).toEqual([]);
      }
    }
  });
});

/** A linear layer with much that can follow it. */
function layer(m: number, n: number, k: number): Tensor[] {
  const [x, weight] = [numbers(1, [m, k]), numbers(2, [n, k])];
  const [bias, residual] = [numbers(3, [n]), numbers(4, [m, n])];
  return [x.matmul(weight.transpose(0, 1)).add(bias).tanh().mul(3).add(residual)];
}

describe("matmul with an epilogue", () => {
  for (const [m, n, k] of [
    [40, 36, 80],
    [33, 35, 70],
    [2, 36, 128],
    [35, 3, 100],
    [5, 6, 7],
  ] as const) {
    it(`of ${m}×${k} and ${k}×${n} is one launch`, async () => {
      await expectLikeReference(device, () => layer(m, n, k), rounding);
      const names = await launches(() => layer(m, n, k));
      expect(names).toEqual([`matmul ${m}x${n}x${k}, loop add+tanh+multiply+add`]);
    });
  }

  it("reads a factor again", async () => {
    const program = (): Tensor[] => {
      const x = numbers(1, [40, 40]);
      return [x.matmul(numbers(2, [40, 40])).add(x)];
    };
    await expectLikeReference(device, program, rounding);
    expect(await launches(program)).toHaveLength(1);
  });

  it("which binds too much is a launch of its own", async () => {
    const program = (): Tensor[] => {
      const added = Array.from({ length: 10 }, (_, i) => numbers(i, [6, 6]));
      return [
        added.reduce((sum, x) => sum.add(x), numbers(20, [6, 9]).matmul(numbers(21, [9, 6]))),
      ];
    };
    await expectLikeReference(device, program, rounding);
    expect((await launches(program)).length).toBeGreaterThan(1);
  });

  it("knows gelu", async () => {
    await expectLikeReference(
      device,
      () => {
        const x = numbers(1, [36, 70]).matmul(numbers(2, [70, 40]));
        return [
          x
            .add(numbers(3, [40]))
            .gelu()
            .add(numbers(4, [36, 40])),
        ];
      },
      rounding,
    );
  });
});

describe("matmul of few results with long sums", () => {
  it("splits the sums, and finishes what it joins", async () => {
    await expectLikeReference(device, () => layer(40, 36, 1100), {
      relative: 1e-5,
      absolute: 1e-4,
    });
    expect((await launches(() => layer(40, 36, 1100))).sort()).toEqual([
      "matmul 40x36x1100",
      "matmul 40x36x1100, loop add+tanh+multiply+add, joined",
    ]);
  });

  it("with odd sizes and a batch", async () => {
    await expectLikeReference(
      device,
      () => [matrix(1, [2, 33, 1030]).matmul(matrix(2, [2, 1030, 7], true))],
      rounding,
    );
  });
});

describe("every tiling of matmul", () => {
  const sizes = { m: 250, n: 140, k: 36 };
  const limits = { workgroupBytes: 16384, workgroupSize: 256 };
  const problem = { ...sizes, batch: 1 };

  it.for(tilingsFor(problem, limits).map(({ name }, number) => ({ name, number })))(
    "$name",
    async ({ name, number }) => {
      const tuner = new Stubborn(number);
      const { m, n, k } = sizes;
      const forced = deviceOf(await requestGpu(), tuner);
      await expectLikeReference(
        forced,
        () => [
          matrix(1, [m, k]).matmul(matrix(2, [k, n], true)),
          matrix(3, [m, k], true).matmul(matrix(4, [k, n - 1])),
        ],
        rounding,
      );
      expect(new Set(tuner.taken)).toEqual(new Set([name]));
    },
  );

  it("keeps within less room", () => {
    const small = { workgroupBytes: 4096, workgroupSize: 64 };
    expect(tilingsFor(problem, small).map(({ name }) => name)).toEqual(["32x32 in 4x4"]);
  });

  it("takes large tiles for large products, and parts for long sums", () => {
    const name = (m: number, n: number, k: number): string =>
      tilingsFor({ m, n, k, batch: 1 }, limits)[0].name;
    expect(name(4096, 4096, 4096)).toBe("128x128 in 8x8");
    expect(name(256, 256, 8192)).toBe("128x64 in 8x4, 16 parts");
    expect(name(32, 32, 64)).toBe("32x32 in 4x4");
  });
});
