import { beforeAll, describe, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { profile } from "../plan/profile.js";
import { manualSeed } from "../random/index.js";
import { reference } from "../reference/device.js";
import { ones, tensor, zeros } from "../tensor/creation.js";
import { memory } from "../tensor/realize.js";
import type { Tensor } from "../tensor/tensor.js";
import { failureOf } from "../testing/index.js";
import {
  Buffer,
  Dropout,
  Embedding,
  LayerNorm,
  Linear,
  Module,
  ModuleList,
  Parameter,
  ReLU,
  Sequential,
} from "./index.js";
import * as nn from "./index.js";
import { stateName } from "./names.js";

beforeAll(() => {
  setDevice(reference());
  manualSeed(0);
});

class Attention extends Module {
  readonly inProjWeight = new Parameter(ones([6, 2]));
  readonly outProj = new Linear(2, 2);
}

class Model extends Module {
  readonly layers = new ModuleList([new Attention(), new Attention()]);
  readonly extras = [new LayerNorm(2), [new LayerNorm(3, { bias: false })]];
  readonly selfAttn = new Attention();
  readonly scale = new Parameter(zeros([]));
  readonly runningMean = new Buffer(zeros([2]));
  readonly table = new Buffer(ones([2]), { persistent: false });
  readonly plain = ones([7]);
  readonly activation = new ReLU();
  label = "a model";
}

test.each([
  ["inProjWeight", "in_proj_weight"],
  ["linear1", "linear1"],
  ["norm1", "norm1"],
  ["toQ", "to_q"],
  ["toQKV", "to_qkv"],
  ["w1Bias", "w1_bias"],
  ["weight", "weight"],
  ["in_proj", "in_proj"],
])("%s is called %s in a state dictionary", (property, name) => {
  expect(stateName(property)).toBe(name);
});

describe("names", () => {
  test("are those of PyTorch, parameters and buffers before submodules", () => {
    expect(Object.keys(new Model().stateDict())).toEqual([
      "scale",
      "running_mean",
      "layers.0.in_proj_weight",
      "layers.0.out_proj.weight",
      "layers.0.out_proj.bias",
      "layers.1.in_proj_weight",
      "layers.1.out_proj.weight",
      "layers.1.out_proj.bias",
      "extras.0.weight",
      "extras.0.bias",
      "extras.1.0.weight",
      "self_attn.in_proj_weight",
      "self_attn.out_proj.weight",
      "self_attn.out_proj.bias",
    ]);
  });

  test("list parameters, buffers and modules", () => {
    const model = new Model();
    expect(model.parameters()).toHaveLength(13);
    expect(model.namedBuffers().map(([name]) => name)).toEqual(["running_mean", "table"]);
    expect(model.namedModules().map(([name]) => name)).toEqual([
      "",
      "layers",
      "layers.0",
      "layers.0.out_proj",
      "layers.1",
      "layers.1.out_proj",
      "extras.0",
      "extras.1.0",
      "self_attn",
      "self_attn.out_proj",
      "activation",
    ]);
    expect(model.namedChildren().map(([name]) => name)).toEqual([
      "layers",
      "extras.0",
      "extras.1.0",
      "self_attn",
      "activation",
    ]);
  });

  test("must differ", () => {
    class Twice extends Module {
      readonly outProj = new Parameter(ones([1]));
      readonly out_proj = new Parameter(ones([1]));
    }
    expect(failureOf(() => new Twice().stateDict())).toContain(
      'argument | stateDict: every tensor must have a name of its own, got "out_proj" twice.',
    );
  });

  test("end where a module contains itself", () => {
    class Cyclic extends Module {
      inner: Module = this;
    }
    expect(failureOf(() => new Cyclic().parameters())).toContain(
      "argument | Cyclic: a module must not contain itself",
    );
  });
});

describe("tied parameters", () => {
  class Tied extends Module {
    readonly embedding = new Embedding(5, 3);
    readonly head = new Linear(3, 5, { bias: false });

    constructor() {
      super();
      Object.assign(this.head, { weight: this.embedding.weight });
    }
  }

  test("count once and are saved under every name", () => {
    const model = new Tied();
    expect(model.parameters()).toHaveLength(1);
    expect(Object.keys(model.stateDict())).toEqual(["embedding.weight", "head.weight"]);
    expect(model.summary()).toContain("15 parameters, 15 of them trained; 60 bytes");
  });

  test("are complete with one of the names", async () => {
    const model = new Tied();
    const report = model.loadStateDict({ "head.weight": ones([5, 3]) });
    expect(report).toEqual({ missing: [], unexpected: [] });
    expect(await model.embedding.weight.sum().item()).toBe(15);
  });

  test("stay tied in a clone", () => {
    const copy = new Tied().clone();
    expect(copy.parameters()).toHaveLength(1);
    expect(copy.head.weight).toBe(copy.embedding.weight);
  });
});

test("train and eval reach every module, apply too, inner ones first", () => {
  const model = new Sequential(new Linear(2, 2), new Dropout(0.5));
  expect(
    model
      .eval()
      .modules()
      .every(({ training }) => !training),
  ).toBe(true);
  expect(
    model
      .train()
      .modules()
      .every(({ training }) => training),
  ).toBe(true);
  const kinds: string[] = [];
  model.apply((module) => kinds.push(module.constructor.name));
  expect(kinds).toEqual(["Dropout", "Linear", "Sequential"]);
});

describe("loadStateDict", () => {
  test("reports what was missing or unexpected where that is no error", async () => {
    const layer = new Linear(2, 1);
    const report = layer.loadStateDict(
      new Map([
        ["weight", ones([1, 2])],
        ["scale", ones([1])],
      ]),
      { strict: false },
    );
    expect(report).toEqual({ missing: ["bias"], unexpected: ["scale"] });
    expect(await layer.weight.toArray()).toEqual([[1, 1]]);
  });

  test("refuses what does not fit, naming everything, before anything is changed", async () => {
    const layer = new Sequential(new Linear(2, 3), new LayerNorm(3));
    layer.loadStateDict({ "0.weight": zeros([3, 2]) }, { strict: false });
    const message = failureOf(() =>
      layer.loadStateDict({
        "0.weight": ones([3, 2]),
        "0.bias": ones([2]),
        "1.weight": tensor([1, 2, 3], { dtype: "int32" }),
        more: ones([1]),
      }),
    );
    expect(message).toBe(
      "checkpoint | loadStateDict: the state must fit Sequential, got missing 1.bias; unexpected more; not fitting 0.bias (shape [2] instead of [3]), 1.weight (type int32 instead of float32). Make the module with the sizes of the checkpoint.",
    );
    expect(await layer.parameters()[0]!.sum().item()).toBe(0);
    expect(
      failureOf(() => layer.loadStateDict({ "0.bias": ones([4]) }, { strict: false })),
    ).toContain("not fitting 0.bias (shape [4] instead of [3])");
  });

  test("shortens long lists of names", () => {
    const layer = new Linear(1, 1);
    const state = Object.fromEntries(Array.from({ length: 14 }, (_, i) => [`x${i}`, ones([1])]));
    expect(failureOf(() => layer.loadStateDict(state))).toContain("x8, x9 and 4 more. Load");
  });

  test("converts float16, also from tensors computed elsewhere", async () => {
    const layer = new Linear(2, 1);
    layer.loadStateDict({
      weight: tensor([[0.5, -2]], { dtype: "float16" }),
      bias: tensor([1]).add(2),
    });
    expect(await layer.weight.toArray()).toEqual([[0.5, -2]]);
    expect(await layer.bias!.toArray()).toEqual([3]);
    expect(layer.weight.dtype).toBe("float32");
  });

  test("takes the numbers of another module, whatever becomes of it", async () => {
    const trained = new Linear(2, 2);
    trained.weight.assign(ones([2, 2]));
    await trained.weight.realize();
    const copy = new Linear(2, 2);
    copy.loadStateDict(trained.stateDict());
    trained.weight.assign(trained.weight.mul(5));
    await trained.weight.realize();
    expect(await copy.weight.toArray()).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });

  test("gives numbers of which none were drawn before", async () => {
    const layer = new Linear(50, 50);
    layer.loadStateDict({ weight: ones([50, 50]).mul(1), bias: tensor(new Float32Array(50)) });
    const { kernels } = await profile(() =>
      layer
        .forward(ones([2, 50]))
        .sum()
        .item(),
    );
    expect(kernels.some(({ name }) => name.startsWith("threefry"))).toBe(false);
  });
});

test("a clone has copies of everything", async () => {
  const model = new Model();
  const copy = model.clone();
  expect(copy).toBeInstanceOf(Model);
  expect(copy.label).toBe("a model");
  expect(Object.keys(copy.stateDict())).toEqual(Object.keys(model.stateDict()));
  const weight = await copy.layers[0]!.outProj.weight.data();
  expect(weight).toEqual(await model.layers[0]!.outProj.weight.data());
  copy.layers[0]!.outProj.weight.assign(zeros([2, 2]));
  expect(await model.layers[0]!.outProj.weight.data()).toEqual(weight);
  expect(copy.table.persistent).toBe(false);
  expect(copy.parameters().every(({ requiresGrad }) => requiresGrad)).toBe(true);
});

test("gradients go to the parameters, and zeroGrad removes them", async () => {
  const layer = new Linear(2, 1);
  layer
    .forward(tensor([[1, 2]]))
    .sum()
    .backward();
  expect(await layer.weight.grad!.toArray()).toEqual([[1, 2]]);
  expect(await layer.bias!.grad!.toArray()).toEqual([1]);
  layer.zeroGrad();
  expect(layer.weight.grad).toBeNull();
  layer.requiresGrad(false);
  expect(layer.forward(ones([1, 2])).requiresGrad).toBe(false);
});

test("the first training step has the same plan as the others", async () => {
  const model = new Sequential(new Linear(3, 4), new ReLU(), new Linear(4, 1));
  const step = async (): Promise<number> => {
    model.zeroGrad();
    const loss = model
      .forward(tensor([[1, 2, 3]]))
      .square()
      .mean();
    loss.backward();
    const { compileCount } = await profile(() => loss.item());
    return compileCount;
  };
  // One plan for the initial numbers and one for the step.
  expect([await step(), await step(), await step()]).toEqual([2, 0, 0]);
});

test("dispose gives the memory back", async () => {
  const model = new Linear(10, 10);
  await model
    .forward(ones([1, 10]))
    .sum()
    .item();
  const held = memory().total;
  model.dispose();
  expect(memory().total).toBe(held - 440);
  expect(() => model.forward(ones([1, 10])).sum()).not.toThrow();
  await expect(
    model
      .forward(ones([1, 10]))
      .sum()
      .item(),
  ).rejects.toThrow("disposed");
});

test("the summary is a table", () => {
  const model = new Sequential(new Linear(4, 8), new ReLU(), new Linear(8, 200));
  expect(model.summary().split("\n")).toEqual([
    "name  kind        shapes                       parameters",
    "      Sequential",
    "0     Linear      weight [8, 4]  bias [8]              40",
    "1     ReLU",
    "2     Linear      weight [200, 8]  bias [200]       1,800",
    "1,840 parameters, 1,840 of them trained; 7.4 kB",
  ]);
});

test("lists take modules only", () => {
  const list = new ModuleList<Module>([new ReLU()]);
  expect(failureOf(() => list.push({} as Module))).toContain(
    "argument | ModuleList: its parts must be modules, got object.",
  );
  expect([...list]).toHaveLength(1);
});

const configurations: [string, () => unknown][] = [
  ["Linear: inFeatures must be a whole number of at least 1, got NaN.", () => new Linear(NaN, 1)],
  ["Linear: outFeatures must be a whole number of at least 1, got -2.", () => new Linear(1, -2)],
  [
    "Embedding: embeddingDim must be a whole number of at least 1, got 0.5.",
    () => new Embedding(3, 0.5),
  ],
  [
    "Embedding: paddingIdx must be a row of the table, from -3 to 2, got 3.",
    () => new Embedding(3, 1, { paddingIdx: 3 }),
  ],
  [
    "LayerNorm: eps must be a finite number of at least 0, got NaN.",
    () => new LayerNorm(3, { eps: NaN }),
  ],
  [
    "LayerNorm: normalizedShape must be a whole number of at least 1, got 0.",
    () => new LayerNorm([2, 0]),
  ],
  ["Dropout: p must lie between 0 and 1, got NaN.", () => new Dropout(NaN)],
];

test.each(configurations)("refuses: %s", (sentence, body) => {
  expect(failureOf(body)).toContain(`argument | ${sentence}`);
});

test("inputs are checked at the entry", () => {
  expect(failureOf(() => new Linear(512, 2).forward(ones([2, 3])))).toBe(
    "shape | Linear: the last axis of the input must be 512, got [2, 3]. Reshape it, or make the module for that size.",
  );
});

test("a padding row starts as zeros and gets no gradient", async () => {
  const table = new Embedding(3, 2, { paddingIdx: -1 });
  const rows: Tensor = table.forward(tensor([2, 0], { dtype: "int32" }));
  rows.sum().backward();
  expect((await table.weight.data()).slice(4)).toEqual(new Float32Array(2));
  expect(await table.weight.grad!.toArray()).toEqual([
    [1, 1],
    [0, 0],
    [0, 0],
  ]);
});

test("private properties and methods of subclasses are cloned", async () => {
  class Scaled extends Module {
    private readonly factor: number;
    readonly weight = new Parameter(ones([1]));

    constructor(factor: number) {
      super();
      this.factor = factor;
    }

    private scale(x: Tensor): Tensor {
      return x.mul(this.factor);
    }

    forward(x: Tensor): Tensor {
      return this.scale(x.mul(this.weight));
    }
  }
  expect(
    await new Scaled(3)
      .clone()
      .forward(tensor([2]))
      .toArray(),
  ).toEqual([6]);
});

test("no class of this package has #private members that a clone would lack", () => {
  for (const name of Object.keys(nn)) {
    const value = nn[name as keyof typeof nn];
    if (typeof value !== "function" || !(value.prototype instanceof Module)) continue;
    expect(String(value), name).not.toMatch(/\bthis\.#/);
  }
});
