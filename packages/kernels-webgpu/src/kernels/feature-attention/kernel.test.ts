import { beforeAll, describe, expect, it } from "vitest";
import {
  cat,
  emptyFeatureAttentionState,
  featureAttention,
  fromData,
  grad,
  ones,
  profile,
  realize,
  reference,
  setDevice,
  type Device,
  type FeatureAttentionState,
  type Tensor,
} from "@x/tensor";
import { expectClose, randomNumbers } from "@x/tensor/testing";
import { plainDevice } from "../../../test/devices.js";
import { headsOf, type Heads } from "../../../test/heads.js";
import { expectLikeReference, numbers } from "../../../test/like-reference.js";
import { webgpu } from "../../index.js";

const close = { relative: 2e-5, absolute: 2e-5, relativeTo: "largest" } as const;

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

interface Case extends Heads {
  /** Random features; without them the exponential ones. */
  readonly features?: number;
  /** What keys are multiplied by: large ones make maxima rise steeply. */
  readonly size?: number;
  readonly state?: boolean;
  readonly keyMask?: boolean;
}

const cases: readonly Case[] = [
  { mode: "causal", n: 17, d: 3, e: 8, features: 5 },
  { mode: "causal", n: 70, d: 20, batch: 2, heads: 2, group: 2, features: 36, split: true },
  { mode: "causal", n: 300, d: 16, features: 24, size: 8 },
  { mode: "causal", n: 290, d: 12, e: 40, keyMask: true },
  { mode: "causal", n: 12, m: 40, d: 8, features: 12, state: true, size: 4 },
  { mode: "full", n: 20, m: 300, d: 8, features: 12, state: true, keyMask: true },
  { mode: "full", n: 40, m: 20, d: 7, e: 5, batch: 2, group: 3 },
  { mode: "mask", n: 50, m: 45, d: 8, keyMask: true, size: 4 },
];

/** The parts of a state. */
function partsOf({ keyValues, keys, maximum, values, count }: FeatureAttentionState): Tensor[] {
  return [keyValues, keys, maximum, values, count];
}

function program(c: Case, seed: number): Tensor[] {
  const { batch = 1, heads = 1, group = 1, n, m = n, d, e = d, size = 1 } = c;
  const { inputs, splitHeads, visible } = headsOf(c, seed);
  const random = randomNumbers(seed);
  const taken = Uint8Array.from({ length: batch * m }, () => Number(random() < 0.7));
  const features =
    c.features === undefined
      ? ("exponential" as const)
      : { projection: numbers(seed * 10 + 8, [c.features, d]).mul(2), epsilon: 1e-2 };
  const attend = (q: Tensor, k: Tensor, v: Tensor, state?: FeatureAttentionState) =>
    featureAttention(q, k, v, {
      features,
      ...visible,
      ...(c.keyMask === true ? { keyMask: fromData(taken, [batch, m], { dtype: "bool" }) } : {}),
      ...(state ? { state } : {}),
    });
  /** What earlier keys leave. */
  const earlier = (): FeatureAttentionState => {
    const before = (width: number, i: number): Tensor =>
      numbers(seed * 10 + 5 + i, [batch, heads, 9, width]);
    const [k, v] = [before(d, 0), before(e, 1)];
    const q = k.repeatInterleave(group, 1);
    return featureAttention(q, k, v, { features, causal: true }).state;
  };
  const results = (...given: typeof inputs) =>
    attend(...splitHeads(...given), c.state === true ? earlier() : undefined);
  const loss = (q: Tensor, k: Tensor, v: Tensor): Tensor => {
    const { output } = results(q, k, v);
    return output.mul(numbers(seed * 10 + 9, output.shape)).sum();
  };
  const [q, k, v] = inputs;
  const given = [q, k.mul(size), v] as typeof inputs;
  const { output, state } = results(...given);
  return [output, ...partsOf(state), ...grad(loss, [0, 1, 2])(...given)];
}

// Software compiles some of these shaders for a second each.
describe("feature attention", { timeout: 120_000 }, () => {
  cases.forEach((c, i) => {
    it(`is what its definition says, with gradients: ${JSON.stringify(c)}`, async () => {
      await expectLikeReference(device, () => program(c, i + 1), close);
    });
  });

  it("handles lengths of 0", async () => {
    for (const mode of ["full", "mask"] as const) {
      for (const [n, m] of [
        [0, 5],
        [5, 0],
      ] as const) {
        const c: Case = { mode, n, m, d: 4, features: 6, state: true };
        await expectLikeReference(device, () => program(c, 1), close);
      }
    }
  });

  it("needs no more than every device has", async () => {
    const plain = await plainDevice();
    const c: Case = { mode: "mask", n: 20, m: 30, d: 6, e: 7, features: 20, state: true };
    await expectLikeReference(await webgpu({ device: plain }), () => program(c, 1), close);
    plain.destroy();
  });

  it("stays finite where queries and keys are huge", async () => {
    setDevice(device);
    const [n, d] = [40, 8];
    const features = { projection: numbers(9, [12, d]), epsilon: 1e-2 };
    const loss = (q: Tensor, k: Tensor, v: Tensor): Tensor =>
      featureAttention(q.mul(1000), k.mul(1000), v, { features, causal: true }).output.sum();
    const [q, k] = [1, 2].map((seed) => numbers(seed, [1, 1, n, d])) as [Tensor, Tensor];
    const value = ones([1, 1, n, d]);
    // Means of ones are 1.
    expect(await loss(q, k, value).item()).toBeCloseTo(n * d, 2);
    for (const gradient of grad(loss, [0, 1, 2])(q, k, value)) {
      expect((await gradient.data()).every(Number.isFinite)).toBe(true);
    }
  });

  for (const value of [-30, NaN, Infinity]) {
    it(`does not notice ${value} in what is not visible`, async () => {
      setDevice(device);
      const [n, d, changed] = [40, 8, 21];
      /** Outputs of earlier queries, and gradients of the keys and values behind them. */
      const results = async (later: number, earlier: number): Promise<number[][]> => {
        const rows = (seed: number, before = 0, behind = 0): Tensor => {
          const x = numbers(seed, [1, 1, n, d]);
          const parts = [x.narrow(2, 0, changed), x.narrow(2, changed, n - changed)] as const;
          return cat([parts[0].add(before), parts[1].add(behind)], 2);
        };
        const features = { projection: numbers(9, [12, d]), epsilon: 1e-2 };
        const attend = (q: Tensor, k: Tensor, v: Tensor): Tensor =>
          featureAttention(q, k, v, { features, causal: true }).output;
        const output = attend(rows(1, 0, later), rows(2, 0, later), rows(3, 0, later));
        const loss = (k: Tensor, v: Tensor): Tensor => {
          const y = attend(rows(1, earlier), k, v);
          return y
            .mul(rows(4))
            .narrow(2, changed, n - changed)
            .sum();
        };
        const gradients = grad(loss, [0, 1])(rows(2), rows(3));
        const numbersOf = async (x: Tensor, start: number, end: number): Promise<number[]> =>
          Array.from(await x.data()).slice(start * d, end * d);
        return [
          await numbersOf(output, 0, changed),
          ...(await Promise.all(gradients.map((x) => numbersOf(x, changed, n)))),
        ];
      };
      expect(await results(value, value)).toEqual(await results(0, 0));
    });
  }

  for (const [group, features, parts] of [
    [1, 24, [1, 1, 3, 1]],
    [3, 0, [1, 2, 1, 40, 1]],
  ] as const) {
    it(`goes on from a state that it updates in place, ${group} queries a key`, async () => {
      const [batch, heads, d, e] = [2, 2, 20, 37];
      const length = parts.reduce<number>((a, b) => a + b, 0);
      const options = () => ({
        features:
          features === 0
            ? ("exponential" as const)
            : { projection: numbers(4, [features, d]), epsilon: 1e-2 },
        causal: true,
      });
      const vectors = (): [Tensor, Tensor, Tensor] => [
        numbers(1, [batch, heads * group, length, d]),
        numbers(2, [batch, heads, length, d]),
        numbers(3, [batch, heads, length, e]),
      ];
      setDevice(reference());
      const whole = featureAttention(...vectors(), options());

      setDevice(device);
      const sizes = { batch, keyHeads: heads, features: features || d, valueSize: e };
      const state = emptyFeatureAttentionState(sizes);
      await realize(...partsOf(state));
      const [q, k, v] = vectors();
      const given = options();
      let start = 0;
      for (const part of parts) {
        const of = (x: Tensor): Tensor => x.narrow(2, start, part);
        const { result, kernels } = await profile(async () => {
          const { output, state: next } = featureAttention(of(q), of(k), of(v), {
            ...given,
            state,
          });
          partsOf(state).forEach((part, i) => part.assign(partsOf(next)[i]!));
          await realize(output, ...partsOf(state));
          return output;
        });
        const count = kernels.reduce((sum, { calls }) => sum + calls, 0);
        if (part === 1) expect(count, kernels.map(({ name }) => name).join()).toBe(1);
        await expectClose(result, of(whole.output), close);
        start += part;
      }
      for (const [i, part] of partsOf(state).entries()) {
        await expectClose(part, partsOf(whole.state)[i]!, close);
      }
    });
  }
});
