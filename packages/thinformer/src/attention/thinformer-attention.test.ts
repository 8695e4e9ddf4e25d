import { beforeAll, describe, expect, test } from "vitest";
import {
  arange,
  cat,
  manualSeed,
  noGrad,
  ones,
  randn,
  randperm,
  scaledDotProductAttention,
  setDevice,
  wasm,
  type Tensor,
} from "@x/tensor";
import { Generator } from "@x/tensor/random";
import { codeOf, expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { ThinformerAttention, thinformerAttention } from "../index.js";

const close = { relative: 2e-5, absolute: 1e-6, relativeTo: "largest" } as const;

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(6);
  });

  test("attends to what it says it chose, in both layouts", async () => {
    const inputs = [randn([2, 7, 2, 4]), randn([2, 40, 2, 4]), randn([2, 40, 2, 3])];
    const [q, k, v] = inputs as [Tensor, Tensor, Tensor];
    const options = { g: 0, scale: 0.3 };
    const call = { needWeights: true, needIndices: true };
    const attention = new ThinformerAttention({ ...options, generator: new Generator(1) });
    const { output, attention: weights, indices } = attention.forward(q, k, v, call);
    const chosen = v.gather(1, indices!.unsqueeze(-1).expand([2, 4, 2, 3]));
    const again = weights!.matmul(chosen.transpose(1, 2)).transpose(1, 2);
    await expectClose(output, again, close);
    const turned = new ThinformerAttention({
      ...options,
      headsFirst: true,
      generator: new Generator(1),
    });
    const [qh, kh, vh] = inputs.map((x) => x.transpose(1, 2)) as [Tensor, Tensor, Tensor];
    const other = turned.forward(qh, kh, vh, call);
    await expectClose(other.output.transpose(1, 2), output, close);
    expect(other.indices!.shape).toEqual([2, 2, 4]);
  });

  test("a padded sequence with few keys is attended to exactly; none gives 0", async () => {
    const [q, k, v] = [randn([3, 3, 1, 4]), randn([3, 70, 1, 4]), randn([3, 70, 1, 4])];
    const keyMask = arange(70).remainder(20).eq(1).logicalAnd(arange(3).lt(2).unsqueeze(1));
    const attention = new ThinformerAttention({ g: 1 });
    const { output } = attention.forward(q, k, v, { keyMask });
    const [qh, kh, vh] = [q, k, v].map((x) => x.transpose(1, 2)) as [Tensor, Tensor, Tensor];
    const mask = keyMask.unsqueeze(1).unsqueeze(1);
    const exact = scaledDotProductAttention(qh, kh, vh, { mask }).transpose(1, 2);
    await expectClose(output, exact, close);
    expect(await output.at(2).abs().sum().item()).toBe(0);
    const changed = [k, v].map((x) => x.maskedFill(keyMask.logicalNot().reshape([3, 70, 1, 1]), 9));
    const same = attention.forward(q, changed[0]!, changed[1]!, { keyMask });
    await expectClose(same.output, output, close);
  });

  test("gradients flow through the chosen keys and values only", async () => {
    const [k, v] = [0, 1].map(() => randn([1, 64, 1, 4], { requiresGrad: true })) as [
      Tensor,
      Tensor,
    ];
    const attention = new ThinformerAttention({ g: 0 });
    const { output, indices } = attention.forward(randn([1, 9, 1, 4]), k, v, { needIndices: true });
    output.square().sum().backward();
    const chosen = new Set(await indices!.data());
    for (const { grad } of [k, v]) {
      const size = await grad!.abs().sum([0, 2, 3]).data();
      expect([...size].map((x) => x > 0)).toEqual([...size].map((_x, i) => chosen.has(i)));
    }
  });
});

/** Smooth functions of the place: a few waves of random amplitudes. */
function smooth(length: number, size: number): Tensor {
  const waves = arange(4)
    .add(1)
    .mul((2 * Math.PI) / length);
  const angle = arange(length).unsqueeze(1).mul(waves);
  return cat([angle.sin(), angle.cos()], 1)
    .matmul(randn([1, 1, 8, size]))
    .div(2);
}

test("the error on smooth input is at most a quarter of a random subset's", async () => {
  // What is chosen does not depend on the device, and there is much to compute.
  setDevice(wasm());
  const [length, size, seeds] = [1024, 16, 20];
  const attention = new ThinformerAttention({ g: 1, headsFirst: true });
  let [ours, subset] = [0, 0];
  for (let seed = 0; seed < seeds; seed++) {
    manualSeed(seed);
    const inputs = [0, 1, 2].map(() => smooth(length, size).realize());
    const [q, k, v] = (await Promise.all(inputs)) as [Tensor, Tensor, Tensor];
    const exact = scaledDotProductAttention(q, k, v);
    const index = randperm(length).narrow(0, 0, 64);
    const [some, values] = [k, v].map((x) => x.indexSelect(2, index));
    const outputs = [
      noGrad(() => attention.forward(q, k, v).output),
      scaledDotProductAttention(q, some!, values!),
    ];
    const errors = outputs.map((y) => y.sub(exact).square().mean().sqrt().item());
    const [own, random] = await Promise.all(errors);
    ours += own! / seeds;
    subset += random! / seeds;
  }
  expect(ours).toBeLessThan(subset / 4);
});

describe("on the last device", () => {
  beforeAll(() => {
    setDevice(devices.at(-1)![1]);
    manualSeed(6);
  });

  test("dropout is for training, and the mechanism without isCausal is the same attention", async () => {
    const [q, k, v] = [randn([1, 1, 20, 4]), randn([1, 1, 64, 4]), ones([1, 1, 64, 1])];
    const attention = new ThinformerAttention({ g: 1, dropout: 0.5, headsFirst: true });
    const values = await attention.forward(q, k, v).output.data();
    expect(new Set([...values].map((x) => Math.round(x * 1e4))).size).toBeGreaterThan(1);
    await expectClose(attention.eval().forward(q, k, v).output, ones([1, 1, 20, 1]), close);
    const mechanism = thinformerAttention({ g: 1, seed: 3 });
    const first = await mechanism.forward(q, k, k).realize();
    expect(await mechanism.forward(q, k, k).sub(first).abs().amax().item()).toBe(0);
    const keyMask = arange(64).lt(20).unsqueeze(0);
    const masked = mechanism.forward(q, k, k, { keyMask });
    const few = thinformerAttention({ g: 1, seed: 3 }).forward(
      q,
      k.narrow(2, 0, 16),
      k.narrow(2, 0, 16),
    );
    await expectClose(masked, few, close);
  });

  test("wrong options and inputs are refused", () => {
    for (const options of [{ g: -1 }, { scale: 0 }, { delta: 0 }, { dropout: 2 }]) {
      expect(codeOf(() => new ThinformerAttention(options))).toBe("argument");
    }
    const attention = new ThinformerAttention();
    const x = randn([1, 4, 2, 4]);
    expect(codeOf(() => attention.forward(x, x, x.at(0)))).toBe("shape");
    expect(codeOf(() => attention.forward(x, x, x.narrow(1, 0, 3)))).toBe("shape");
  });
});
