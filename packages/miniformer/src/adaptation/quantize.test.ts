import { beforeAll, describe, expect, test } from "vitest";
import {
  fromData,
  manualSeed,
  memory,
  profile,
  randint,
  randn,
  setDevice,
  type Tensor,
} from "@x/tensor";
import { Embedding, Linear, Module } from "@x/tensor/nn";
import { loadSafetensors, saveSafetensors } from "@x/tensor/safetensors";
import { expectClose } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { Transformer } from "../model/transformer.js";
import { prune } from "./prune.js";
import { loadQuantized, quantize } from "./quantize.js";

class Model extends Module {
  readonly embedding: Embedding;
  readonly hidden: Linear;
  readonly head: Linear;

  constructor(vocabulary = 50, size = 32) {
    super();
    this.embedding = new Embedding(vocabulary, size);
    this.hidden = new Linear(size, size);
    this.head = new Linear(size, vocabulary, { bias: false });
    Object.assign(this.head, { weight: this.embedding.weight });
  }

  forward(tokens: Tensor): Tensor {
    return this.head.forward(this.hidden.forward(this.embedding.forward(tokens)).gelu());
  }
}

/** The norm of a difference, or of the numbers themselves. */
function norm(a: ArrayLike<number>, b: ArrayLike<number> | null): number {
  return Math.hypot(...Array.from(a, (x, i) => x - (b?.[i] ?? 0)));
}

describe.each(devices)("quantize on %s", (name, device) => {
  beforeAll(() => {
    setDevice(device);
    manualSeed(7);
  });

  test.each([
    ["int8", 0.02, 0.01, 50 * 32 + 4 * 50 + 32 * 32 + 4 * 32],
    ["float16", 2e-3, 5e-4, 2 * (50 * 32 + 32 * 32)],
  ] as const)("%s: small errors, in a part of the bytes", async (dtype, output, error, bytes) => {
    const model = new Model();
    const tokens = randint(0, 50, [3, 9]);
    const before = await model.forward(tokens).data();
    const sample = (model: Model): Tensor => model.forward(tokens);
    const report = await quantize(model, { dtype, sample });
    expect(report.maps.map((map) => map.name)).toEqual(["embedding", "hidden"]);
    expect([report.bytesBefore, report.bytesAfter]).toEqual([4 * (50 * 32 + 32 * 32), bytes]);
    for (const map of report.maps) {
      expect(map.error).toBeGreaterThan(0);
      expect(map.error).toBeLessThan(error);
    }
    expect(report.outputError).toBeLessThan(output);
    const after = await model.forward(tokens).data();
    const [difference, size] = [0, 1].map((part) => norm(before, part === 0 ? after : null));
    expect(difference! / size!).toBeCloseTo(report.outputError!, 5);
    // One matrix still, of three names less one.
    const state = model.stateDict();
    expect(state["head.weight"]).toBe(state["embedding.weight"]);
    expect(state["head.weight"]!.dtype).toBe(dtype);
    expect(model.training).toBe(true);
    expect(model.parameters()).toEqual([model.hidden.bias]);
  });

  test.each(["int8", "float16"] as const)("%s is saved and loaded", async (dtype) => {
    const [model, other] = [new Model(), new Model()];
    await quantize(model, { dtype });
    const bytes = await saveSafetensors(model.stateDict());
    const state = await loadSafetensors(bytes);
    loadQuantized(other, state);
    expect(other.head.weight).toBe(other.embedding.weight);
    const tokens = randint(0, 50, [2, 4]);
    const expected = await model.forward(tokens).data();
    await expectClose(other.forward(tokens), expected);
    expect(() => loadQuantized(new Linear(2, 2), state)).toThrow("unexpected");
  });

  test("computes what the widened weights give, masks included, for few and many rows", async () => {
    const model = new Model(60, 40);
    await prune(model, { amount: 0.5, targets: ["hidden"] });
    const { hidden } = model;
    const [weight, bias] = [await hidden.weight.data(), await hidden.bias!.data()];
    const { maps } = await quantize(model, { dtype: "int8", targets: ["hidden"] });
    expect(maps).toHaveLength(1);
    const { weight: whole, scale } = model.hidden.stateDict();
    const [q, s] = [await whole!.data(), await scale!.data()];
    expect(Array.from(q).filter((x) => x === 0).length).toBeGreaterThanOrEqual(800);
    for (let i = 0; i < weight.length; i++) {
      if (q[i] !== 0) expect(q[i]! * s[Math.floor(i / 40)]!).toBeCloseTo(weight[i]!, 2);
    }
    for (const rows of [1, 5, 30]) {
      const x = await randn([rows, 40]).realize();
      const input = await x.data();
      const expected = Float64Array.from({ length: rows * 40 }, (_, i) => {
        const [row, column] = [Math.floor(i / 40), i % 40];
        let sum = 0;
        for (let k = 0; k < 40; k++) sum += input[row * 40 + k]! * q[column * 40 + k]!;
        return sum * s[column]! + bias[column]!;
      });
      await expectClose(model.hidden.forward(x), expected, { absolute: 1e-5 });
    }
  });

  test("a transformer: tied logits within 2 %, matrices a quarter of the bytes, and it decodes", async () => {
    const config = TransformerConfig.tiny({ vocabSize: 40, dModel: 64, tokenTypes: 2 });
    const model = new Transformer(config).eval();
    const tokens = await randint(0, 40, [2, 10]).realize();
    const sample = (model: Transformer): Tensor => model.forward(tokens);
    const report = await quantize(model, { dtype: "int8", sample });
    expect(report.outputError).toBeGreaterThan(0);
    expect(report.outputError).toBeLessThan(0.02);
    // A byte a weight, and scales of four bytes for every 64 or more of them.
    expect(report.bytesAfter / report.bytesBefore).toBeLessThan(0.25 * (1 + 4 / 64));
    const state = model.stateDict();
    expect(state["output_projection.weight"]).toBe(state["encoder.token_embedding.weight"]);
    expect(state["token_embedding.scale"]).toBe(state["output_projection.scale"]);
    expect(state["encoder.token_type_embedding.weight"]!.dtype).toBe("float32");

    const other = new Transformer(config).eval();
    loadQuantized(other, state);
    const whole = await other.forward(tokens).data();
    const cache = other.initState({ batch: 2, capacity: 10 });
    await other.next(tokens.narrow(1, 0, 9), { state: cache }).data();
    const last = await other.next(tokens.narrow(1, 9, 1), { state: cache }).data();
    const expected = [0, 1].flatMap((i) => [...whole.slice((i * 10 + 9) * 40, (i + 1) * 400)]);
    await expectClose(fromData(last, [80]), expected, { absolute: 1e-4 });
  });

  if (name !== "reference") {
    test("never holds float32 copies of the weights", async () => {
      const size = 512;
      const before = memory();
      const model = new Model(size, size);
      await quantize(model, { dtype: "int8" });
      const tensors = memory().tensors - before.tensors;
      expect(tensors).toBeLessThan(2 * size * size * 1.05);
      const { plans } = memory();
      for (const length of [1, 40]) {
        const tokens = randint(0, size, [1, length]);
        const { kernels } = await profile(() => model.eval().forward(tokens).data());
        const products = kernels.filter(({ name }) => name.includes(` ${length}x${size}x${size}`));
        expect(products.reduce((sum, { calls }) => sum + calls, 0)).toBe(2);
        // A float32 copy of one matrix would be four times that, written or read.
        for (const { bytes, calls } of kernels) expect(bytes / calls).toBeLessThan(2 * size * size);
      }
      expect(memory().plans - plans).toBeLessThan(2 * size * size);
      expect(memory().tensors - before.tensors).toBeLessThan(2 * size * size * 1.1);
    });
  }
});

test("errors of quantize", async () => {
  await expect(quantize(new Model(), { dtype: "int4" as "int8" })).rejects.toThrow(
    'quantize: dtype must be one of "int8", "float16", got "int4". Choose one of them.',
  );
  await expect(quantize(new Model(), { dtype: "int8", targets: ["none"] })).rejects.toThrow(
    "quantize: the model must have linear maps or embeddings of float32 that the targets mean, got none in Model. Correct the targets.",
  );
});
