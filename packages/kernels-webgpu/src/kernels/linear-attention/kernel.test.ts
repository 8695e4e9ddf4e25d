import { beforeAll, describe, expect, it } from "vitest";
import {
  cumulativeLinearAttention,
  fromData,
  grad,
  profile,
  realize,
  reference,
  setDevice,
  zeros,
  type Device,
  type Tensor,
} from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { headsOf, type Heads } from "../../../test/heads.js";
import { expectLikeReference, numbers } from "../../../test/like-reference.js";
import { Stubborn } from "../../../test/stubborn.js";
import { requestGpu } from "../../adapter/request.js";
import { deviceOf } from "../../device.js";
import { webgpu } from "../../index.js";

const close = { relative: 1e-5, absolute: 1e-5, relativeTo: "largest" } as const;

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

interface Case extends Heads {
  readonly state?: boolean;
}

const cases: readonly Case[] = [
  { mode: "causal", n: 17, d: 3, e: 8, state: true },
  { mode: "causal", n: 64, d: 20, e: 3, batch: 2, heads: 2, split: true },
  { mode: "causal", n: 300, d: 64, split: true },
  { mode: "causal", n: 131, d: 8, e: 20, group: 3, state: true },
  { mode: "causal", n: 37, m: 90, d: 8, state: true, group: 2 },
  { mode: "causal", n: 99, m: 60, d: 1, state: true },
  { mode: "causal", n: 40, d: 128, state: true },
  // Segments of several chunks.
  { mode: "causal", n: 230, d: 3, e: 1, batch: 3, heads: 49 },
  // A state that fits in narrow slices only.
  { mode: "causal", n: 16, d: 3, e: 512 },
  { mode: "full", n: 1, m: 33, d: 3 },
  { mode: "full", n: 45, m: 257, d: 8, e: 20, heads: 2, group: 2, state: true, split: true },
  { mode: "mask", n: 1, m: 5, d: 3, e: 1, state: true },
  { mode: "mask", n: 77, d: 20, e: 8, batch: 2, group: 2, split: true },
  { mode: "mask", n: 300, m: 211, d: 8, e: 64, state: true },
  { mode: "mask", n: 90, m: 290, d: 64, e: 20, heads: 2, state: true },
];

/** Results and all gradients; the sums of both results with random numbers are one loss. */
function program(c: Case, seed: number): readonly Tensor[] {
  const { batch = 1, heads = 1, d, e = d, state } = c;
  const { inputs, splitHeads, visible } = headsOf(c, seed);
  const initial = numbers(seed * 10 + 3, [batch, heads, d, e]);
  const results = (q: Tensor, k: Tensor, v: Tensor, first?: Tensor): [Tensor, Tensor] => {
    const { output, state: last } = cumulativeLinearAttention(...splitHeads(q, k, v), {
      ...visible,
      scale: 0.37,
      ...(first === undefined ? {} : { state: first }),
    });
    return [output, last];
  };
  const loss = (...tensors: Parameters<typeof results>): Tensor => {
    const [output, last] = results(...tensors);
    const weighted = (x: Tensor): Tensor => x.mul(numbers(seed * 10 + 9, x.shape)).sum();
    return weighted(output).add(state === true ? weighted(last) : 0);
  };
  const given = (state === true ? [...inputs, initial] : inputs) as Parameters<typeof results>;
  const places = given.map((_, i) => i);
  return [...results(...given), ...grad(loss, places)(...given)];
}

// Software compiles some of these shaders for a second each.
describe("cumulative linear attention", { timeout: 120_000 }, () => {
  cases.forEach((c, i) => {
    it(`is what its definition says, with gradients: ${JSON.stringify(c)}`, async () => {
      await expectLikeReference(device, () => program(c, i + 1), close);
    });
  });

  it("has the same results with shorter chunks", async () => {
    const tuner = new Stubborn(1);
    const forced = deviceOf(await requestGpu(), tuner);
    await expectLikeReference(forced, () => program({ mode: "causal", n: 75, d: 12 }, 1), close);
    expect(new Set(tuner.taken)).toEqual(new Set(["chunks of 16"]));
  });

  it("reads parts of one tensor", async () => {
    await expectLikeReference(
      device,
      () => {
        const x = numbers(1, [2, 40, 3, 8]);
        const part = (i: number): Tensor => x.narrow(2, i, 1).transpose(1, 2);
        const [q, k, v] = [part(0), part(1), part(2)] as const;
        const { output, state } = cumulativeLinearAttention(q, k, v, { causal: true });
        return [output, state, cumulativeLinearAttention(q, q, q, { causal: true }).output];
      },
      close,
    );
  });

  it("handles lengths of 0", async () => {
    for (const mode of ["full", "mask"] as const) {
      for (const [n, m] of [
        [0, 5],
        [5, 0],
      ] as const) {
        const c: Case = { mode, n, m, d: 4, state: true };
        await expectLikeReference(device, () => program(c, 1), close);
      }
    }
  });

  for (const mode of ["causal", "mask"] as const) {
    it(`is not touched by what is not visible: ${mode}`, async () => {
      const [n, d] = [70, 4];
      const last = (i: number): number => (mode === "mask" ? ((i * 37) % n) - 1 : i);
      const mask = Int32Array.from({ length: n }, (_, i) => last(i));
      const hidden = 45;
      /** Results of which the parts that row `hidden` must not change are chosen. */
      const chosen = async (value: number): Promise<number[][]> => {
        const x = (seed: number, change: (row: number) => boolean): Tensor => {
          const rows = [...Array(n * d).keys()].map((i) => (change(Math.floor(i / d)) ? value : 0));
          return numbers(seed, [n, d]).add(fromData(Float32Array.from(rows), [n, d]));
        };
        const isKey = (row: number): boolean => row >= hidden;
        const isQuery = (row: number): boolean => last(row) < hidden;
        const attend = (q: Tensor, k: Tensor, v: Tensor): Tensor =>
          cumulativeLinearAttention(q, k, v, {
            causal: mode === "causal",
            ...(mode === "mask" ? { mask: fromData(mask, [n]) } : {}),
          }).output;
        const never = (): boolean => false;
        const y = attend(x(1, never), x(2, isKey), x(3, isKey));
        const gradients = grad(
          (...[q, k, v]: [Tensor, Tensor, Tensor]) => attend(q, k, v).mul(x(4, isQuery)).sum(),
          [1, 2],
        )(x(1, isQuery), x(2, never), x(3, never));
        const rowsOf = async (tensor: Tensor, isChosen: (row: number) => boolean) =>
          [...(await tensor.data())].filter((_, i) => isChosen(Math.floor(i / d)));
        return [
          await rowsOf(y, isQuery),
          await rowsOf(gradients[0]!, isKey),
          await rowsOf(gradients[1]!, isKey),
        ];
      };
      setDevice(device);
      const clean = await chosen(0);
      for (const value of [NaN, Infinity]) {
        const results = await chosen(value);
        for (const [i, rows] of results.entries()) {
          for (const [at, number] of rows.entries()) expect(number).toBeCloseTo(clean[i]![at]!, 4);
        }
      }
    });
  }

  for (const [group, parts] of [
    [1, [1, 1, 3, 1]],
    [3, [1, 2, 1, 40, 1]],
  ] as const) {
    it(`goes on from a state that it updates in place, ${group} queries a key`, async () => {
      const [d, e, heads] = [20, 37, 2];
      const length = parts.reduce<number>((a, b) => a + b, 0);
      const vectors = (): [Tensor, Tensor, Tensor] => [
        numbers(1, [1, heads * group, length, d]),
        numbers(2, [1, heads, length, d]),
        numbers(3, [1, heads, length, e]),
      ];
      setDevice(reference());
      const whole = cumulativeLinearAttention(...vectors(), { causal: true });

      setDevice(device);
      const state = zeros([1, heads, d, e]);
      await realize(state);
      const [q, k, v] = vectors();
      let start = 0;
      for (const part of parts) {
        const of = (x: Tensor): Tensor => x.narrow(2, start, part);
        const { result, kernels } = await profile(async () => {
          const options = { causal: true, state };
          const { output, state: next } = cumulativeLinearAttention(of(q), of(k), of(v), options);
          state.assign(next);
          await realize(output, state);
          return output;
        });
        expect(kernels.map(({ name, calls }) => [name.slice(0, 16), calls])).toEqual([
          ["linear attention", 1],
        ]);
        await expectClose(result, of(whole.output), close);
        start += part;
      }
      await expectClose(state, whole.state, close);
    });
  }
});
