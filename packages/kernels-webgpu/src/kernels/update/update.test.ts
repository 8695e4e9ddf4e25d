import { beforeAll, describe, expect, it } from "vitest";
import { profile, reference, setDevice, type Device, type Shape } from "@x/tensor";
import { Parameter } from "@x/tensor/nn";
import { Adam, AdamW, SGD, type Optimizer } from "@x/tensor/optim";
import { compareElements } from "@x/tensor/testing";
import { numbers } from "../../../test/like-reference.js";
import { webgpu } from "../../index.js";

const shapes: readonly Shape[] = [[], [3], [5, 7], [1], [0], [64], [2, 3, 1]];

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

/** The parameters after a few steps, each with another gradient. */
async function train(
  on: Device,
  make: (parameters: Parameter[]) => Optimizer,
): Promise<ArrayLike<number>[]> {
  setDevice(on);
  const parameters = shapes.map((shape, i) => new Parameter(numbers(i, shape)));
  const optimizer = make(parameters);
  for (let step = 0; step < 3; step++) {
    optimizer.zeroGrad();
    parameters
      .map((parameter, i) => parameter.mul(numbers(10 * step + i, parameter.shape)).sum())
      .reduce((a, b) => a.add(b))
      .backward();
    await optimizer.step();
  }
  return Promise.all(parameters.map((parameter) => parameter.data()));
}

const optimizers: Record<string, (parameters: Parameter[]) => Optimizer> = {
  SGD: (p) => new SGD(p, { lr: 0.1, weightDecay: 0.1 }),
  "SGD, upwards": (p) => new SGD(p, { lr: 0.1, maximize: true }),
  "SGD with momentum": (p) => new SGD(p, { lr: 0.1, momentum: 0.9, dampening: 0.2 }),
  "SGD with Nesterov's momentum": (p) =>
    new SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.1 }),
  Adam: (p) => new Adam(p, { lr: 0.1, weightDecay: 0.1, maximize: true }),
  AdamW: (p) => new AdamW(p, { lr: 0.1 }),
  "Adam with the largest squares": (p) => new Adam(p, { lr: 0.1, amsgrad: true }),
};

describe("optimizer updates", () => {
  for (const [name, make] of Object.entries(optimizers)) {
    it(`of ${name} agree with the reference`, async () => {
      const expected = await train(reference(), make);
      const results = await train(device, make);
      expected.forEach((elements, i) => {
        const close = { relative: 1e-5, absolute: 1e-6 };
        expect(compareElements(results[i]!, elements, close)).toMatchObject({ isClose: true });
      });
    });
  }

  it("take one launch for several parameters", async () => {
    setDevice(device);
    const parameters = [1, 2].map((seed) => new Parameter(numbers(seed, [40])));
    const optimizer = new SGD(parameters, { lr: 0.1 });
    parameters.forEach((parameter) => parameter.mul(parameter).sum().backward());
    const { kernels } = await profile(() => optimizer.step());
    expect(kernels.filter(({ name }) => name.startsWith("sgd"))).toMatchObject([
      { name: "sgd 80", calls: 1 },
    ]);
  });
});
