import { beforeAll, describe, it } from "vitest";
import { cumulativeLinearAttention, fromData, grad, type Device, type Tensor } from "@x/tensor";
import { randomNumbers } from "@x/tensor/testing";
import { expectLikeReference, numbers } from "../../../test/like-reference.js";
import { webgpu } from "../../index.js";

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

interface Case {
  readonly mode: "full" | "causal" | "mask";
  readonly batch?: number;
  readonly heads?: number;
  readonly group?: number;
  readonly n: number;
  readonly m?: number;
  readonly d: number;
  readonly e?: number;
  readonly state?: boolean;
  /** Whether the heads are split from [batch, length, heads · size]. */
  readonly split?: boolean;
}

const cases: readonly Case[] = [
  { mode: "causal", n: 1, d: 1 },
  { mode: "causal", n: 17, d: 3, e: 8, state: true },
  { mode: "causal", n: 64, d: 20, e: 3, batch: 2, heads: 2, split: true },
  { mode: "causal", n: 300, d: 64, split: true },
  { mode: "causal", n: 131, d: 8, e: 20, group: 3, state: true },
  { mode: "causal", n: 37, m: 90, d: 8, state: true, group: 2 },
  { mode: "causal", n: 200, m: 129, d: 20, e: 64, state: true },
  { mode: "causal", n: 70, d: 128, state: true },
  { mode: "full", n: 1, m: 33, d: 3 },
  {
    mode: "full",
    n: 45,
    m: 70,
    d: 8,
    e: 20,
    batch: 2,
    heads: 2,
    group: 2,
    state: true,
    split: true,
  },
  { mode: "full", n: 300, m: 257, d: 64, e: 8, state: true },
  { mode: "mask", n: 1, m: 5, d: 3, e: 1, state: true },
  { mode: "mask", n: 77, d: 20, e: 8, batch: 2, group: 2, split: true },
  { mode: "mask", n: 300, m: 211, d: 8, e: 64, state: true },
  { mode: "mask", n: 90, m: 290, d: 64, e: 20, heads: 2, state: true },
  { mode: "mask", n: 100, m: 64, d: 3, group: 3 },
];

/** Results and all gradients; the sums of both results with random numbers are one loss. */
function program(c: Case, seed: number): readonly Tensor[] {
  const { mode, batch = 1, heads = 1, group = 1, n, m = n, d, e = d, state, split } = c;
  let input = seed * 10;
  const vectors = (count: number, length: number, size: number): Tensor =>
    split === true
      ? numbers(input++, [batch, length, count * size])
      : numbers(input++, [batch, count, length, size]);
  const headsOf = (x: Tensor, length: number, size: number): Tensor =>
    split === true ? x.reshape([batch, length, -1, size]).transpose(1, 2) : x;
  const inputs = [
    vectors(heads * group, n, d),
    vectors(heads, m, d),
    vectors(heads, m, e),
    ...(state === true ? [numbers(input++, [batch, heads, d, e])] : []),
  ];
  const random = randomNumbers(seed);
  const mask = Int32Array.from({ length: n }, () => Math.floor(random() * (m + 1)) - 1);
  const results = (q: Tensor, k: Tensor, v: Tensor, first?: Tensor): [Tensor, Tensor] => {
    const [queries, keys, values] = [headsOf(q, n, d), headsOf(k, m, d), headsOf(v, m, e)];
    const { output, state: last } = cumulativeLinearAttention(queries, keys, values, {
      causal: mode === "causal",
      scale: 0.37,
      ...(mode === "mask" ? { mask: fromData(mask, [n]) } : {}),
      ...(first === undefined ? {} : { state: first }),
    });
    return [output, last];
  };
  const loss = (...tensors: Parameters<typeof results>): Tensor => {
    const [output, last] = results(...tensors);
    const weighted = (x: Tensor): Tensor => x.mul(numbers(seed * 10 + 9, x.shape)).sum();
    return weighted(output).add(state === true ? weighted(last) : 0);
  };
  const given = inputs as Parameters<typeof results>;
  const places = inputs.map((_, i) => i);
  return [...results(...given), ...grad(loss, places)(...given)];
}

describe("cumulative linear attention", () => {
  cases.forEach((c, i) => {
    it(`is what its definition says, with gradients: ${JSON.stringify(c)}`, async () => {
      await expectLikeReference(device, () => program(c, i + 1), {
        relative: 1e-4,
        absolute: 1e-4,
        relativeTo: "largest",
      });
    });
  });
});
