import { beforeAll, describe, expect, test } from "vitest";
import { devices } from "../../test/devices.js";
import { setDevice } from "../device/current.js";
import { Linear, Parameter, ReLU, Sequential } from "../nn/index.js";
import { profile } from "../plan/profile.js";
import { manualSeed } from "../random/index.js";
import { loadSafetensors, openSafetensors, saveSafetensors } from "../safetensors/index.js";
import { ones, tensor } from "../tensor/creation.js";
import { mseLoss } from "../tensor/losses.js";
import { memory } from "../tensor/realize.js";
import type { Tensor } from "../tensor/tensor.js";
import { failureOf } from "../testing/index.js";
import {
  Adam,
  AdamW,
  clipGradNorm,
  packOptimizerState,
  SGD,
  unpackOptimizerState,
  type Optimizer,
} from "./index.js";

const start = [0.5, -1, 2];
const gradients = [
  [0.1, -0.2, 0.3],
  [1, 0, -1],
  [-0.5, 0.25, 4],
];

/** The formulas of PyTorch, element by element, in float64. */
type Rule = (p: number, g: number, state: Record<string, number>, t: number) => number;

function adamRule(options: {
  lr: number;
  beta1?: number;
  beta2?: number;
  eps?: number;
  decay?: number;
  decoupled?: boolean;
  amsgrad?: boolean;
}): Rule {
  const { lr, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0 } = options;
  return (p, g, state, t) => {
    let parameter = p;
    let gradient = g;
    if (options.decoupled === true) parameter *= 1 - lr * decay;
    else gradient += decay * p;
    state.m = beta1 * (state.m ?? 0) + (1 - beta1) * gradient;
    state.v = beta2 * (state.v ?? 0) + (1 - beta2) * gradient ** 2;
    state.largest = Math.max(state.largest ?? 0, state.v);
    const square = options.amsgrad === true ? state.largest : state.v;
    const deviation = Math.sqrt(square) / Math.sqrt(1 - beta2 ** t) + eps;
    return parameter - ((lr / (1 - beta1 ** t)) * state.m) / deviation;
  };
}

function sgdRule(options: {
  lr: number;
  momentum?: number;
  dampening?: number;
  decay?: number;
  nesterov?: boolean;
}): Rule {
  const { lr, momentum = 0, dampening = 0, decay = 0, nesterov = false } = options;
  return (p, g, state, t) => {
    const gradient = g + decay * p;
    if (momentum === 0) return p - lr * gradient;
    state.b = t === 1 ? gradient : momentum * state.b! + (1 - dampening) * gradient;
    return p - lr * (nesterov ? gradient + momentum * state.b : state.b);
  };
}

const cases: [string, (parameters: Tensor[]) => Optimizer, Rule][] = [
  ["SGD", (p) => new SGD(p, { lr: 0.1 }), sgdRule({ lr: 0.1 })],
  [
    "SGD with decay",
    (p) => new SGD(p, { lr: 0.1, weightDecay: 0.5 }),
    sgdRule({ lr: 0.1, decay: 0.5 }),
  ],
  [
    "SGD with momentum",
    (p) => new SGD(p, { lr: 0.1, momentum: 0.9, dampening: 0.2, weightDecay: 0.1 }),
    sgdRule({ lr: 0.1, momentum: 0.9, dampening: 0.2, decay: 0.1 }),
  ],
  [
    "SGD after Nesterov",
    (p) => new SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true }),
    sgdRule({ lr: 0.1, momentum: 0.9, nesterov: true }),
  ],
  ["Adam", (p) => new Adam(p, { lr: 0.1 }), adamRule({ lr: 0.1 })],
  [
    "Adam with decay",
    (p) => new Adam(p, { lr: 0.1, weightDecay: 0.3, betas: [0.8, 0.9], eps: 1e-3 }),
    adamRule({ lr: 0.1, decay: 0.3, beta1: 0.8, beta2: 0.9, eps: 1e-3 }),
  ],
  [
    "Adam with amsgrad",
    (p) => new Adam(p, { lr: 0.1, amsgrad: true, betas: [0.9, 0.5] }),
    adamRule({ lr: 0.1, amsgrad: true, beta2: 0.5 }),
  ],
  ["AdamW", (p) => new AdamW(p, { lr: 0.1 }), adamRule({ lr: 0.1, decay: 0.01, decoupled: true })],
];

function makeModel(): Sequential {
  return new Sequential(new Linear(4, 8), new ReLU(), new Linear(8, 2));
}

function lossOf(model: Sequential, step: number): Tensor {
  const x = ones([3, 4]).mul(1 + step);
  return mseLoss(model.forward(x), ones([3, 2]));
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(0);
  });

  describe("updates follow the formulas", () => {
    test.each(cases)("%s", async (_, make, rule) => {
      const parameters = [
        tensor(start, { requiresGrad: true }),
        tensor([[start[1]!]], { requiresGrad: true }),
      ];
      const optimizer = make(parameters);
      const expected = [...start];
      const states = start.map((): Record<string, number> => ({}));
      for (const [i, gradient] of gradients.entries()) {
        parameters[0]!.grad = tensor(gradient);
        parameters[1]!.grad = tensor([[gradient[1]!]]);
        await optimizer.step();
        expected.forEach((p, j) => {
          expected[j] = rule(p, gradient[j]!, states[j]!, i + 1);
        });
        const numbers = await parameters[0]!.data();
        expected.forEach((p, j) => expect(numbers[j]).toBeCloseTo(p, 5));
        expect(await parameters[1]!.item()).toBeCloseTo(expected[1]!, 5);
      }
    });

    test.each(cases)("%s goes up where it shall maximize", async (_, make) => {
      const [down, up] = [0, 1].map(() => tensor(start, { requiresGrad: true })) as [
        Tensor,
        Tensor,
      ];
      const descent = make([down]);
      const ascent = make([up]);
      Object.assign(descent.paramGroups[0]!, { weightDecay: 0 });
      Object.assign(ascent.paramGroups[0]!, { weightDecay: 0, maximize: true });
      down.grad = tensor(gradients[0]!);
      up.grad = tensor(gradients[0]!);
      await descent.step();
      await ascent.step();
      const [low, high] = [await down.data(), await up.data()];
      start.forEach((p, j) => expect(high[j]! - p).toBeCloseTo(p - low[j]!, 6));
    });
  });

  test("parameters without a gradient stay, and have their own count of steps", async () => {
    const [a, b] = [0, 1].map(() => tensor([1], { requiresGrad: true })) as [Tensor, Tensor];
    const optimizer = new Adam([a, b], { lr: 0.1 });
    a.grad = tensor([1]);
    await optimizer.step();
    expect(await b.item()).toBe(1);
    a.grad = tensor([1]);
    b.grad = tensor([1]);
    await optimizer.step();
    expect(await a.item()).toBeCloseTo(0.8, 5);
    expect(await b.item()).toBeCloseTo(0.9, 5);
    const { state } = optimizer.stateDict();
    expect([state[0]!.step, state[1]!.step]).toEqual([2, 1]);
  });

  test("groups have options of their own", async () => {
    const [a, b, c] = [0, 1, 2].map(() => tensor([1], { requiresGrad: true })) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const optimizer = new SGD([{ params: [a] }, { params: [b], lr: 0.5 }], { lr: 0.1 });
    optimizer.addParamGroup({ params: [c], lr: 0.25 });
    for (const parameter of [a, b, c]) parameter.grad = tensor([1]);
    await optimizer.step();
    expect(await a.item()).toBeCloseTo(0.9, 6);
    expect(await b.item()).toBe(0.5);
    expect(await c.item()).toBe(0.75);
  });

  describe("a training step", () => {
    test("computes loss, gradients, clipping and update in one plan, cached from then on", async () => {
      const model = makeModel();
      const optimizer = new AdamW(model.parameters(), { lr: 0.01 });
      const weight = (await model.parameters()[0]!.data())[0];
      await Promise.all(model.parameters().map((parameter) => parameter.realize()));
      const compiled: number[] = [];
      const sizes: number[] = [];
      for (let i = 0; i < 5; i++) {
        const { compileCount } = await profile(async () => {
          optimizer.zeroGrad();
          const loss = lossOf(model, i);
          loss.backward();
          const norm = clipGradNorm(model.parameters(), 1);
          optimizer.paramGroups[0]!.lr = 0.01 / (i + 1);
          await optimizer.step();
          const { kernels } = await profile(async () => [await loss.item(), await norm.item()]);
          expect(kernels).toEqual([]);
          // The reference device keeps even single numbers in its memory.
          loss.dispose();
          norm.dispose();
        });
        compiled.push(compileCount);
        sizes.push(memory().total);
      }
      expect(compiled).toEqual([1, 0, 0, 0, 0]);
      expect(new Set(sizes.slice(1)).size).toBe(1);
      expect((await model.parameters()[0]!.data())[0]).not.toBe(weight);
    });

    test("does not compute the forward pass again after the loss was read", async () => {
      const model = makeModel();
      const optimizer = new SGD(model.parameters(), { lr: 0.01 });
      const loss = lossOf(model, 0);
      loss.backward();
      await loss.item();
      const { kernels } = await profile(() => optimizer.step());
      expect(kernels.filter(({ name }) => /matmul|gemm/.test(name))).toEqual([]);
    });

    test("lowers the loss", async () => {
      const model = makeModel();
      const optimizer = new Adam(model.parameters(), { lr: 0.02 });
      const losses: number[] = [];
      for (let i = 0; i < 30; i++) {
        optimizer.zeroGrad();
        const loss = lossOf(model, 0);
        loss.backward();
        await optimizer.step();
        losses.push(await loss.item());
      }
      expect(losses.at(-1)).toBeLessThan(0.1 * losses[0]!);
    });
  });

  describe("state", () => {
    async function train(
      model: Sequential,
      optimizer: Optimizer,
      steps: number,
    ): Promise<number[]> {
      const losses: number[] = [];
      for (let i = 0; i < steps; i++) {
        optimizer.zeroGrad();
        const loss = lossOf(model, i);
        loss.backward();
        await optimizer.step();
        losses.push(await loss.item());
      }
      return losses;
    }

    test.each([
      ["SGD", (p: Tensor[]) => new SGD(p, { lr: 0.05, momentum: 0.9 })],
      ["Adam", (p: Tensor[]) => new Adam(p, { lr: 0.05, amsgrad: true })],
    ])("of %s goes through a file", async (_, make) => {
      const model = makeModel();
      const optimizer = make(model.parameters());
      await train(model, optimizer, 3);
      const { tensors, metadata } = packOptimizerState(optimizer.stateDict());
      const file = await saveSafetensors({ ...tensors, ...model.stateDict() }, metadata);
      const expected = await train(model, optimizer, 3);

      const loaded = await loadSafetensors(file);
      const again = makeModel();
      again.loadStateDict(loaded, { strict: false });
      const other = make(again.parameters());
      const { metadata: notes } = await openSafetensors(file);
      other.loadStateDict(unpackOptimizerState(loaded, notes));
      expect(other.stateDict().state[0]!.step).toBe(3);
      const losses = await train(again, other, 3);
      losses.forEach((loss, i) => expect(loss).toBeCloseTo(expected[i]!, 6));
    });

    test("has PyTorch's names", async () => {
      const parameter = tensor([1, 2], { requiresGrad: true });
      const optimizer = new AdamW([parameter], { amsgrad: true });
      parameter.grad = ones([2]);
      await optimizer.step();
      const { state, param_groups } = optimizer.stateDict();
      expect(Object.keys(state[0]!)).toEqual(["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]);
      expect(param_groups).toEqual([
        {
          lr: 1e-3,
          betas: [0.9, 0.999],
          eps: 1e-8,
          weight_decay: 0.01,
          amsgrad: true,
          maximize: false,
          params: [0],
        },
      ]);
    });

    test("that does not fit is refused", () => {
      const parameter = tensor([1, 2], { requiresGrad: true });
      const optimizer = new Adam([parameter]);
      const groups = optimizer.stateDict().param_groups;
      const load = (state: object, param_groups: object[] = [...groups]): string =>
        // What the types forbid, a file can still hold.
        failureOf(() => optimizer.loadStateDict({ state, param_groups } as never));
      expect(load({}, [])).toContain(
        "checkpoint | Adam: the state must fit the optimizer, got 0 par",
      );
      expect(load({}, [{ ...groups[0], params: [0, 1] }])).toContain(
        "2 parameters in group 0 for 1",
      );
      expect(load({ 0: { step: 1.5 } })).toContain("1.5 as the number of steps");
      expect(load({ 0: { step: 1, exp_avg: ones([2]) } })).toContain(
        'for "exp_avg_sq" of a parameter of shape [2] none.',
      );
      expect(load({ 0: { step: 1, exp_avg: ones([3]), exp_avg_sq: ones([2]) } })).toContain(
        'for "exp_avg" of a parameter of shape [2] one of shape [3].',
      );
      expect(load({}, [{ ...groups[0], lr: NaN }])).toContain(
        "argument | Adam: the learning rate must be",
      );
      expect(failureOf(() => unpackOptimizerState({}, {}))).toContain(
        "checkpoint | unpackOptimizerState: the notes must hold the state of an optimizer, got none.",
      );
      expect(
        failureOf(() => unpackOptimizerState({}, { optimizer: '{"state":{"a":1}}' })),
      ).toContain("checkpoint | unpackOptimizerState");
    });
  });
});

const refused: [string, () => unknown][] = [
  ["SGD: at least one parameter is needed, got none.", () => new SGD([])],
  [
    "SGD: the learning rate must be a finite number of at least 0, got NaN.",
    () => new SGD([new Parameter(ones([1]))], { lr: NaN }),
  ],
  [
    "SGD: nesterov needs momentum and no dampening, got momentum 0 and dampening 0.",
    () => new SGD([new Parameter(ones([1]))], { nesterov: true }),
  ],
  [
    "AdamW: betas must be two numbers of at least 0 and below 1, got [0.9,1].",
    () => new AdamW([new Parameter(ones([1]))], { betas: [0.9, 1] }),
  ],
  [
    "Adam: eps must be a finite number of at least 0, got -1.",
    () => new Adam([new Parameter(ones([1]))], { eps: -1 }),
  ],
  [
    "Adam: parameters must be tensors that require gradients, got one that does not.",
    () => new Adam([ones([1])]),
  ],
  [
    "Adam: every parameter must belong to one group, got one of shape [1] twice.",
    () => {
      const parameter = new Parameter(ones([1]));
      return new Adam([parameter, parameter]);
    },
  ],
];

test.each(refused)("refuses: %s", (sentence, body) => {
  expect(failureOf(body)).toContain(`argument | ${sentence}`);
});

test("options that were changed to something out of range are refused by the step", async () => {
  const optimizer = new SGD([new Parameter(ones([1]))], { lr: 1 });
  optimizer.paramGroups[0]!.lr = -1;
  await expect(optimizer.step()).rejects.toThrow("SGD: the learning rate must be");
});
