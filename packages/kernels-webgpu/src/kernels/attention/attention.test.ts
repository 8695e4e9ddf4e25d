import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AttentionOptions,
  type Device,
  fromData,
  getDevice,
  grad,
  manualSeed,
  profile,
  scaledDotProductAttention,
  setDevice,
  type Shape,
  tensor,
  type Tensor,
  zeros,
} from "@x/tensor";
import { expectLikeReference, numbers } from "../../../test/like-reference.js";
import { Stubborn } from "../../../test/stubborn.js";
import { requestGpu } from "../../adapter/request.js";
import { deviceOf } from "../../device.js";
import { webgpu } from "../../index.js";

interface Case {
  readonly name: string;
  readonly q: Shape;
  readonly k: Shape;
  /** Size of values; that of keys unless given. */
  readonly e?: number;
  readonly options?: AttentionOptions;
  /** Shape of the mask, whose numbers are as `maskType` says. */
  readonly mask?: Shape;
  readonly maskType?: "bool" | "float32";
}

const cases: readonly Case[] = [
  { name: "one number", q: [2, 1, 3, 1], k: [2, 1, 4, 1], e: 64 },
  { name: "causal", q: [1, 2, 37, 8], k: [1, 2, 37, 8], options: { isCausal: true } },
  { name: "whole tiles", q: [1, 1, 64, 8], k: [1, 1, 64, 8] },
  {
    name: "more keys than queries, grouped, causal, mask of keys",
    q: [2, 6, 5, 3],
    k: [2, 2, 70, 3],
    e: 20,
    options: { isCausal: true, enableGqa: true },
    mask: [70],
  },
  {
    name: "more queries than keys, window, mask of queries",
    q: [1, 2, 75, 20],
    k: [1, 2, 30, 20],
    e: 8,
    options: { window: [9, 4] },
    mask: [2, 75, 1],
  },
  {
    name: "bias of batches and queries, grouped",
    q: [2, 3, 20, 20],
    k: [2, 1, 33, 20],
    e: 3,
    options: { enableGqa: true, window: [-1, 7] },
    mask: [2, 1, 20, 33],
    maskType: "float32",
  },
  { name: "dropout", q: [2, 2, 18, 64], k: [2, 2, 20, 64], options: { dropoutP: 0.3 } },
  { name: "large heads", q: [1, 1, 9, 256], k: [1, 1, 40, 256], options: { isCausal: true } },
  {
    name: "decoding, grouped",
    q: [1, 4, 1, 64],
    k: [1, 2, 300, 64],
    options: { enableGqa: true },
    mask: [1, 1, 1, 300],
  },
  { name: "all dropped", q: [1, 1, 4, 8], k: [1, 1, 4, 8], options: { dropoutP: 1 } },
];

const before = getDevice();
let device: Device;
beforeAll(async () => {
  device = await webgpu();
});
afterAll(() => setDevice(before));

/** The output and the gradients of the floats. */
function attend(
  inputs: readonly Tensor[],
  options: AttentionOptions,
  mask: Tensor | null = null,
): Tensor[] {
  const isBias = mask?.dtype === "float32";
  const forward = (q: Tensor, k: Tensor, v: Tensor, bias?: Tensor): Tensor => {
    manualSeed(5);
    return scaledDotProductAttention(q, k, v, { ...options, mask: bias ?? mask });
  };
  const all = isBias ? [...inputs, mask] : inputs;
  const loss = (...own: Tensor[]): Tensor => {
    const y = forward(...(own as [Tensor, Tensor, Tensor]));
    return y.mul(numbers(9, y.shape)).sum();
  };
  const [q, k, v] = inputs as [Tensor, Tensor, Tensor];
  const places = all.map((_, i) => i);
  return [forward(q, k, v), ...grad(loss, places)(...all)];
}

const rounding = { relative: 2e-5, absolute: 4e-6, relativeTo: "largest" } as const;

describe("attention is like its definition", () => {
  for (const { name, q, k, e = k[3]!, options = {}, mask, maskType = "bool" } of cases) {
    it(`${name}: ${q.join("×")}, ${k.join("×")}, ${e}`, async () => {
      await expectLikeReference(
        device,
        () => {
          const inputs = [numbers(1, q), numbers(2, k), numbers(3, [...k.slice(0, 3), e])];
          return attend(inputs, options, mask === undefined ? null : numbers(4, mask, maskType));
        },
        rounding,
      );
    });
  }

  it("for queries that see nothing", async () => {
    await expectLikeReference(
      device,
      () => {
        const inputs = [1, 2, 3].map((seed) => numbers(seed, [1, 1, 6, 8]));
        const mask = numbers(4, [6, 6], "bool")
          .mul(tensor([[1], [0], [1], [1], [0], [1]]))
          .cast("bool");
        return attend(inputs, {}, mask);
      },
      rounding,
    );
  });

  it("without queries, and without keys", async () => {
    await expectLikeReference(device, () =>
      [
        [0, 3],
        [3, 0],
      ].flatMap(([n, m]) => {
        const [q, k] = [zeros([1, 2, n!, 4]).add(1), zeros([1, 2, m!, 4]).add(1)];
        return attend([q, k, k.mul(2)], {});
      }),
    );
  });
});

describe("every tile of attention", () => {
  it.for([0, 1, 2, 3])("number %i", async (number) => {
    const tuner = new Stubborn(number);
    await expectLikeReference(
      deviceOf(await requestGpu(), tuner),
      () => {
        const inputs = [1, 2, 3].map((seed) => numbers(seed, [1, 2, 70, 12]));
        return attend(inputs, { isCausal: true });
      },
      rounding,
    );
    // Forward, and twice backward.
    expect(tuner.taken.length).toBeGreaterThanOrEqual(3);
  });
});

describe("attention", () => {
  /** Names of the kernels that compute. */
  async function kernels(results: () => readonly Tensor[]): Promise<string[]> {
    setDevice(device);
    const { kernels } = await profile(async () => {
      for (const result of results()) await result.data();
    });
    return kernels.map(({ name }) => name);
  }

  it("reads split heads where they are", async () => {
    const [batch, length, heads, size] = [2, 19, 3, 8];
    const program = (): Tensor[] => {
      const all = numbers(1, [batch, length, 3 * heads * size]);
      const split = all.reshape([batch, length, 3, heads, size]).permute([2, 0, 3, 1, 4]);
      const [q, k, v] = [0, 1, 2].map((i) => split.select(0, i)) as [Tensor, Tensor, Tensor];
      return [scaledDotProductAttention(q, k, v)];
    };
    await expectLikeReference(device, program, rounding);
    expect(await kernels(program)).toEqual(["attention 6x19x19x8x8"]);
  });

  it("reads a mask that is the same for all heads where it is", async () => {
    const names = await kernels(() => {
      const x = numbers(1, [2, 3, 20, 8]);
      const mask = numbers(2, [2, 1, 1, 20], "bool");
      return [scaledDotProductAttention(x, x, x, { mask })];
    });
    expect(names).toEqual(["attention 6x20x20x8x8"]);
  });

  it("shares many keys of few queries out", async () => {
    const names = await kernels(() => {
      const [q, k] = [numbers(1, [1, 4, 1, 64]), numbers(2, [1, 2, 300, 64])];
      return [scaledDotProductAttention(q, k, k, { enableGqa: true })];
    });
    expect(names.sort()).toEqual(["attention 4x1x300x64x64", "attention join 4x1x300x64x64"]);
  });

  it("leaves heads that are too large to the definition", async () => {
    const names = await kernels(() => {
      const x = numbers(1, [1, 1, 2, 260]);
      return [scaledDotProductAttention(x, x, x)];
    });
    expect(names.some((name) => name.startsWith("attention"))).toBe(false);
  });

  for (const value of [NaN, Infinity]) {
    it(`does not notice ${value} in what is hidden`, async () => {
      setDevice(device);
      const [n, d, t] = [40, 8, 21];
      const results = async (isDisturbed: boolean): Promise<ArrayLike<number>[]> => {
        const inputs = [1, 2, 3].map((seed) => {
          const row = fromData(
            Float32Array.from({ length: n }, (_, i) => (isDisturbed && i === t ? value : 0)),
            [n, 1],
          );
          return seed === 1 ? numbers(seed, [1, 1, n, d]) : numbers(seed, [1, 1, n, d]).add(row);
        });
        const found = attend(inputs, { isCausal: true });
        return Promise.all(found.slice(0, 2).map(async (result) => result.data()));
      };
      const [expected, disturbed] = [await results(false), await results(true)];
      expected.forEach((elements, i) => {
        // Queries before key t do not see it; those from t on do.
        const parts = [elements, disturbed[i]!].map((x) => Array.from(x));
        expect(parts[1]!.slice(0, t * d)).toEqual(parts[0]!.slice(0, t * d));
        expect(parts[1]!.slice(t * d)).toEqual(parts[1]!.slice(t * d).fill(NaN));
      });
    });
  }
});
