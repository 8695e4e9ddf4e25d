import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { getDevice, setDevice } from "../device/current.js";
import type { Device } from "../device/device.js";
import { randn, manualSeed } from "../random/index.js";
import { codeOf, expectClose } from "../testing/index.js";
import { wasm } from "../wasm/device.js";
import { ones, tensor } from "./creation.js";
import { dropout } from "./functional.js";
import { grad, noGrad } from "./grad.js";
import { memory, realize } from "./realize.js";
import { reversible } from "./reversible.js";
import type { Tensor } from "./tensor.js";

let before: Device;
beforeAll(() => {
  before = getDevice();
  setDevice(wasm());
});
afterAll(() => {
  setDevice(before);
});

type Step = (x: Tensor) => Tensor;

function plain(steps: readonly Step[], a: Tensor, b: Tensor): [Tensor, Tensor] {
  return steps.reduce<[Tensor, Tensor]>(([p, q], step) => [q, p.add(step(q))], [a, b]);
}

/** The result and all gradients of couplings that share a weight and a tensor computed from one. */
async function run(couple: typeof reversible): Promise<Tensor[]> {
  manualSeed(4);
  const x = randn([2, 3], { requiresGrad: true });
  const weight = randn([3, 3], { requiresGrad: true });
  const context = randn([2, 3], { requiresGrad: true });
  const mixed = context.tanh();
  const steps: Step[] = [
    (z) => dropout(z.matmul(weight), { p: 0.5 }),
    (z) => z.mul(mixed).sin(),
    (z) => dropout(z.matmul(weight).exp().mul(0.1), { p: 0.5 }).add(mixed),
    () => mixed.mul(2),
  ];
  const [a, b] = couple(steps, x, x.mul(2));
  a.square().sum().add(b.sin().sum()).add(mixed.sum()).backward();
  const results = [a, b, x.grad!, weight.grad!, context.grad!];
  await realize(...results);
  return results;
}

describe("reversible", () => {
  test("gives the numbers and gradients of couplings that keep everything", async () => {
    const [expected, actual] = [await run(plain), await run(reversible)];
    for (const [i, tensor] of actual.entries()) {
      await expectClose(tensor, expected[i]!, { absolute: 1e-5 });
    }
  });

  test("can be differentiated again", async () => {
    const f = (x: Tensor): Tensor => reversible([(z) => z.pow(3)], x, x)[1].sum();
    expect(await grad((x: Tensor) => grad(f)(x).sum())(tensor([2, 3])).toArray()).toEqual([12, 18]);
  });

  test("leaves no history where none is wanted", () => {
    const x = tensor([1], { requiresGrad: true });
    expect(noGrad(() => reversible([(z) => z], x, x))[1].requiresGrad).toBe(false);
    expect(reversible([(z) => z], tensor([1]), tensor([2]))[1].requiresGrad).toBe(false);
  });

  test("takes the same memory for 24 steps as for 4", async () => {
    // Plans share their memory: each measurement is of the largest so far.
    const measure = async (depth: number, couple: typeof reversible): Promise<number> => {
      const weights = Array.from({ length: depth }, () => randn([16, 16], { requiresGrad: true }));
      const steps = weights.map(
        (weight): Step =>
          (z) =>
            z.matmul(weight).tanh().mul(0.1),
      );
      const [a, b] = couple(steps, ones([4096, 16]), ones([4096, 16]));
      a.mul(b).sum().backward();
      await weights[0]!.grad!.data();
      return memory().plans;
    };
    const shallow = await measure(4, reversible);
    expect((await measure(24, reversible)) / shallow).toBeLessThan(1.2);
    expect((await measure(24, plain)) / shallow).toBeGreaterThan(2);
  });

  test("rejects steps to another shape", () => {
    const step = (): unknown => reversible([(z) => z.sum()], ones([2]), ones([2]));
    expect(step).toThrow(
      "reversible: both tensors and what a step gives must have one shape, got [2], [2], []. Correct the step.",
    );
    expect(codeOf(step)).toBe("shape");
  });
});
