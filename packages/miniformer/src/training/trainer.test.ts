import { manualSeed, memory, profile, setDevice, tensor, type Tensor } from "@x/tensor";
import { Embedding, Linear, Module, Parameter, Sequential } from "@x/tensor/nn";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { codeOf } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { MeanModel, SmallLanguageModel, walk } from "../../test/small-models.js";
import { fromArray, streamed } from "../data/source.js";
import { tokenWindows } from "../data/token-windows.js";
import { loadWeights } from "./checkpoint.js";
import { classification } from "./classification.js";
import { languageModelling } from "./language-modelling.js";
import { csvLog, jsonlLog, MemoryLog } from "./logs.js";
import { regression } from "./regression.js";
import type { EvaluationReport, StepReport } from "./report.js";
import { MemoryStorage } from "./storage.js";
import type { Batch, Task } from "./task.js";
import { Trainer } from "./trainer.js";

const byteTask = languageModelling({ padding: 8, bytesPerToken: 1 });
const windows = tokenWindows(walk(161), { length: 8 });

const numbersOf = async (model: Module): Promise<number[]> =>
  (await Promise.all(model.parameters().map((parameter) => parameter.data()))).flatMap((x) => [
    ...x,
  ]);

/** The largest difference of two lists of numbers. */
const farthest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

/** One number that is trained, and whose losses and evaluations are made up. */
class OneNumber extends Module {
  readonly weight: Parameter = new Parameter(tensor([1]));
}

/** A task in which the loss is a multiple of the weight, and evaluations give what is told. */
function madeUp(
  factor: (batch: number) => number,
  evaluations: readonly number[] = [],
): Task<OneNumber, number, Batch & { readonly factor: number }> {
  let evaluation = 0;
  let batch = 0;
  return {
    name: "made up",
    metricNames: ["loss", "accuracy"],
    lengthOf: null,
    collate: (examples) => ({ count: examples.length, factor: factor(batch++) }),
    loss: (model, { factor, count }) => model.weight.sum().mul(factor * count),
    meter: () => ({
      add: () => Promise.resolve(),
      metrics: () => {
        const value = evaluations[evaluation++]!;
        return { loss: value, accuracy: -value };
      },
    }),
  };
}

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
  });
  beforeEach(() => {
    manualSeed(7);
  });

  test("a model learns, and evaluations say how well", async () => {
    const model = new SmallLanguageModel(16, 0);
    const evaluations: EvaluationReport[] = [];
    const trainer = new Trainer({
      model,
      task: byteTask,
      data: windows,
      validation: windows,
      epochs: 10,
      batchSize: 4,
      learningRate: 0.03,
      schedule: "cosine",
      onEvaluate: (report) => void evaluations.push(report),
    });
    expect(trainer.totalSteps).toBe(50);
    const before = await trainer.evaluate();
    const { metrics, ending, step } = await trainer.train();
    expect([ending, step, evaluations.length]).toEqual(["finished", 50, 10]);
    expect(before.loss).toBeGreaterThan(2.5);
    expect(metrics!.loss).toBeLessThan(0.8);
    expect(metrics!.accuracy).toBeGreaterThan(0.8);
    expect(await trainer.evaluate()).toEqual(metrics);
    expect(model.training).toBe(true);
  });

  test("accumulated batches make the step of one large batch", async () => {
    const losses: number[][] = [];
    const models: number[][] = [];
    // Lengths that differ: batches count differently much.
    const data = Array.from({ length: 24 }, (_, i) => walk(4 + ((i * 5) % 6)).slice(i % 3));
    for (const [batchSize, accumulate] of [
      [6, 1],
      [2, 3],
    ] as const) {
      manualSeed(7);
      const model = new SmallLanguageModel(16, 0);
      const trainer = new Trainer({
        model,
        task: languageModelling({ padding: 9 }),
        data: fromArray(data),
        seed: null,
        epochs: 1,
        batchSize,
        accumulate,
      });
      const own: number[] = [];
      for await (const report of trainer.run()) if (report.kind === "step") own.push(report.loss);
      losses.push(own);
      models.push(await numbersOf(model));
    }
    // Examples of similar length are put together, which orders each kind of batch in its own way.
    expect(losses[0]!.length).toBe(4);
    expect(farthest(losses[0]!, losses[1]!)).toBeLessThan(1e-5);
    expect(farthest(models[0]!, models[1]!)).toBeLessThan(1e-4);
  });

  test("gradients are clipped by their norm", async () => {
    const norms: (number | null)[] = [];
    const weights: number[] = [];
    for (const clipNorm of [null, 1, 0.01]) {
      const model = new OneNumber();
      const trainer = new Trainer({
        model,
        task: madeUp((batch) => (batch === 0 ? 3 : 1)),
        data: [1],
        steps: 2,
        clipNorm,
        learningRate: 0.1,
        weightDecay: 0,
        onStep: ({ gradientNorm }) => void norms.push(gradientNorm),
      });
      await trainer.train();
      weights.push(await model.weight.item());
    }
    expect(norms).toEqual([null, null, 3, 1, 3, 1]);
    // Adam in plain JavaScript: two steps with the gradients 3 and 1, and with 1 and 1.
    const adam = (gradients: readonly number[]): number => {
      let [weight, mean, square] = [1, 0, 0];
      gradients.forEach((g, i) => {
        mean = 0.9 * mean + 0.1 * g;
        square = 0.999 * square + 0.001 * g * g;
        const unbiased = mean / (1 - 0.9 ** (i + 1));
        weight -= (0.1 * unbiased) / (Math.sqrt(square / (1 - 0.999 ** (i + 1))) + 1e-8);
      });
      return weight;
    };
    expect(weights[0]).toBeCloseTo(adam([3, 1]), 5);
    expect(weights[1]).toBeCloseTo(adam([1, 1]), 5);
    expect(weights[2]).toBeCloseTo(adam([0.01, 0.01]), 5);
  });

  test("mixed precision leaves out steps that overflow, and lowers the scale", async () => {
    const model = new OneNumber();
    const steps: StepReport[] = [];
    const weights: number[] = [];
    const trainer = new Trainer({
      model,
      task: madeUp((batch) => (batch === 1 ? Infinity : 1)),
      data: [1],
      steps: 5,
      precision: "mixed",
      lossScale: { initial: 8, interval: 2 },
      onStep: async (report) => {
        steps.push(report);
        weights.push(await model.weight.item());
      },
    });
    await trainer.train();
    expect(steps.map(({ skipped }) => skipped)).toEqual([false, true, false, false, false]);
    expect(steps.map(({ lossScale }) => lossScale)).toEqual([8, 4, 4, 8, 8]);
    expect(weights[1]).toBe(weights[0]);
    expect(weights[2]).toBeLessThan(weights[1]!);
    // The scale is gone from what the optimizer and the reports get.
    expect(steps.map(({ gradientNorm }) => gradientNorm)).toEqual([1, Infinity, 1, 1, 1]);
    expect(steps[4]!.averageLoss).toBeLessThan(1.01);
  });

  test("mixed precision rounds matrices and learns as well", async () => {
    const results = [];
    for (const precision of ["float32", "mixed"] as const) {
      manualSeed(7);
      const model = new SmallLanguageModel(16, 0);
      const dtypes = new Set<string>();
      const forward = model.linear.forward.bind(model.linear);
      model.linear.forward = (x: Tensor): Tensor => {
        dtypes.add(model.linear.weight.dtype);
        return forward(x);
      };
      const options = { data: windows, validation: windows, steps: 30, learningRate: 0.03 };
      const trainer = new Trainer({ model, task: byteTask, precision, ...options });
      const { metrics } = await trainer.train();
      // Evaluated with the float32 numbers.
      expect([...dtypes].sort()).toEqual(
        precision === "mixed" ? ["float16", "float32"] : ["float32"],
      );
      expect(model.linear.weight).toBeInstanceOf(Parameter);
      results.push(metrics!.loss!);
    }
    expect(results[1]).not.toBe(results[0]);
    expect(Math.abs(results[1]! - results[0]!)).toBeLessThan(0.05);
  });

  test("steps of fixed shape compile nothing and leave nothing", async () => {
    const trainer = new Trainer({
      model: new SmallLanguageModel(16, 0.1),
      task: byteTask,
      data: windows,
      validation: fromArray([windows.at!(0), windows.at!(1)]),
      evaluateEvery: 10,
      batchSize: 4,
      accumulate: 2,
      steps: 60,
      schedule: { name: "linear", warmupSteps: 5 },
      storage: new MemoryStorage(),
    });
    const compiled: number[] = [];
    const held: number[] = [];
    const reports = trainer.run();
    for (;;) {
      const { result, compileCount } = await profile(() => reports.next());
      if (result.done === true) break;
      if (result.value.kind === "step") {
        compiled.push(compileCount);
        held.push(memory().tensors);
      }
    }
    // Everything was met once the first evaluation is done.
    expect(compiled.slice(11).every((count) => count === 0)).toBe(true);
    // The garbage collector may give back what earlier tests left, but nothing is added.
    expect(held.at(-1)).toBeLessThanOrEqual(held[12]!);
  });

  test("bucketed lengths compile few plans", async () => {
    const data = Array.from({ length: 96 }, (_, i) => ({
      tokens: new Array<number>(1 + ((i * 7) % 24)).fill(i % 5),
      label: i % 2,
    }));
    class Tokens extends Module {
      readonly embedding = new Embedding(5, 4);
      readonly mean = new MeanModel(4, 2);
      forward(tokens: Tensor, call?: { readonly keyMask?: Tensor | null }): Tensor {
        return this.mean.forward(this.embedding.forward(tokens), call);
      }
    }
    const trainer = new Trainer({
      model: new Tokens(),
      task: classification({ classes: 2 }),
      data,
      epochs: 3,
    });
    const { compileCount } = await profile(() => trainer.train());
    // Lengths 8, 12, 16 and 24, some of them with and without padding; initial numbers; reading.
    expect(compileCount).toBeLessThanOrEqual(10);
    expect(trainer.step).toBe(36);
  });

  test("something can be added to the loss, and frozen parameters stay", async () => {
    const model = new Sequential(new Linear(2, 2), new Linear(2, 1));
    const [first, second] = [...model.modules()].filter((module) => module instanceof Linear);
    first!.requiresGrad(false);
    const before = await numbersOf(model);
    const trainer = new Trainer({
      model,
      task: regression({ inputDim: 2, padding: "longest" }),
      data: [{ features: [0, 0], target: [0] }],
      steps: 1,
      // The sum of the weights, whose gradient is 1 everywhere.
      auxiliaryLoss: () => second!.weight.sum().mul(5),
      clipNorm: null,
      learningRate: 0.1,
      weightDecay: 0,
    });
    const reports: StepReport[] = [];
    for await (const report of trainer.run()) if (report.kind === "step") reports.push(report);
    const after = await numbersOf(model);
    expect(after.slice(0, 6)).toEqual(before.slice(0, 6));
    expect(after[6]! - before[6]!).toBeCloseTo(-0.1, 5);
    const [b0, b1, w0, w1, c] = before.slice(4) as [number, number, number, number, number];
    const output = b0 * w0 + b1 * w1 + c;
    expect(reports[0]!.loss).toBeCloseTo(output ** 2 + 5 * (w0 + w1), 5);
  });
});

describe("a run", () => {
  beforeAll(() => {
    setDevice(devices.at(-1)![1]);
  });
  afterEach(() => {
    manualSeed(0);
  });

  const evaluated = {
    data: [1],
    validation: [1],
    evaluateEvery: 2,
    weightDecay: 0,
  };

  test("ends early when evaluations get no better", async () => {
    const losses = [5, 3, 4, 2.95, 3, 9, 9];
    const model = new OneNumber();
    const task = madeUp(() => 1, losses);
    const trainer = new Trainer({
      ...evaluated,
      model,
      task,
      steps: 100,
      earlyStopping: { patience: 3, minDelta: 0.1 },
    });
    const best: boolean[] = [];
    for await (const report of trainer.run()) {
      if (report.kind === "evaluation") best.push(report.isBest);
    }
    // 2.95 is not better than 3 by more than 0.1.
    expect(best).toEqual([true, true, false, false, false]);
    expect(trainer.step).toBe(10);
  });

  test("takes larger values for better where they are", async () => {
    const rising = madeUp(() => 1, [5, 4, 3, 2, 1]);
    const options = { ...evaluated, metric: "accuracy", earlyStopping: { patience: 1 } };
    const trainer = new Trainer({ ...options, model: new OneNumber(), task: rising, steps: 10 });
    expect((await trainer.train()).ending).toBe("finished");
    const falling = madeUp(() => 1, [5, 4, 3, 2, 1]);
    const other = new Trainer({
      ...options,
      model: new OneNumber(),
      task: falling,
      steps: 10,
      direction: "min",
    });
    expect(await other.train()).toMatchObject({ ending: "early stopping", step: 4 });
  });

  test("goes on no further when it ended early", async () => {
    const storage = new MemoryStorage();
    const options = { ...evaluated, steps: 20, storage, earlyStopping: { patience: 1 } };
    await new Trainer({
      ...options,
      model: new OneNumber(),
      task: madeUp(() => 1, [1, 2]),
    }).train();
    const again = new Trainer({
      ...options,
      model: new OneNumber(),
      task: madeUp(() => 1),
      resume: true,
    });
    expect(await again.train()).toMatchObject({ ending: "early stopping", step: 4 });
    expect(await storage.list()).toEqual(["step-000002", "step-000004"]);
  });

  test("keeps the best and the last checkpoints, and no others", async () => {
    const storage = new MemoryStorage();
    const model = new OneNumber();
    const weights: number[] = [];
    await new Trainer({
      ...evaluated,
      model,
      task: madeUp(() => 1, [5, 2, 4, 3, 6, 7]),
      steps: 12,
      keepLast: 2,
      keepBest: 2,
      storage,
      files: { "config.json": "{}" },
      onStep: async () => void weights.push(await model.weight.item()),
    }).train();
    expect((await storage.list()).sort()).toEqual([
      "step-000004",
      "step-000008",
      "step-000010",
      "step-000012",
    ]);
    const note = new TextDecoder().decode((await storage.readNote("last.json"))!);
    expect(JSON.parse(note)).toEqual({
      last: "step-000012",
      best: [
        { name: "step-000004", value: 2 },
        { name: "step-000008", value: 3 },
      ],
    });
    expect(new TextDecoder().decode((await storage.read("step-000004", "config.json"))!)).toBe(
      "{}",
    );
    expect(await loadWeights(model, storage, "best")).toBe("step-000004");
    expect(await model.weight.item()).toBe(weights[3]);
    expect(await loadWeights(model, storage)).toBe("step-000012");
    expect(await model.weight.item()).toBe(weights[11]);
  });

  test("of a stream ends with its epochs", async () => {
    const trainer = new Trainer({
      model: new OneNumber(),
      task: madeUp(() => 1, [1]),
      data: streamed(() => [1, 2, 3, 4, 5]),
      validation: [1],
      epochs: 3,
      batchSize: 2,
      accumulate: 2,
    });
    expect(trainer.totalSteps).toBeNull();
    const counts: number[] = [];
    for await (const report of trainer.run()) if (report.kind === "step") counts.push(report.count);
    // 3 batches an epoch: 2 + 2, 1 + 2, 2 + 1, 2 + 2, and the last alone.
    expect(counts).toEqual([4, 3, 3, 4, 1]);
  });

  test("writes logs", async () => {
    const [csv, jsonl] = [new MemoryLog(), new MemoryLog()];
    await new Trainer({
      ...evaluated,
      model: new OneNumber(),
      task: madeUp((batch) => batch + 1, [0.5]),
      steps: 2,
      learningRate: 0.125,
      logs: [csvLog(csv), jsonlLog(jsonl)],
    }).train();
    const rows = csv.text.split("\n").map((row) => row.split(","));
    expect(rows[0]!.join()).toBe(
      "step,epoch,loss,averageLoss,learningRate,gradientNorm,count,perSecond,lossScale,skipped,validation_loss,validation_accuracy",
    );
    expect(rows[1]!.slice(0, 7)).toEqual(["1", "0", "1", "1", "0.125", "1", "1"]);
    expect(rows[2]!.slice(0, 3)).toEqual(["2", "1", "1.75"]);
    expect(rows[3]!.join()).toBe("2,,,,,,,,,,0.5,-0.5");
    expect(JSON.parse(jsonl.text.split("\n")[2]!)).toEqual({
      kind: "evaluation",
      step: 2,
      metrics: { loss: 0.5, accuracy: -0.5 },
      isBest: true,
    });
  });

  test("stops when its loss is no number", async () => {
    const model = new OneNumber();
    const task = madeUp((batch) => (batch === 2 ? NaN : 1));
    const storage = new MemoryStorage();
    const trainer = new Trainer({ model, task, data: [1], steps: 5, storage, saveEvery: 1 });
    await expect(trainer.train()).rejects.toThrow(
      "Trainer: the loss must be a finite number, got NaN in step 3. Lower the learning rate or clipNorm, and check the data; the last checkpoint is from before.",
    );
    expect(await storage.list()).toEqual(["step-000002"]);
  });

  test("is refused where it makes no sense", async () => {
    const make = (options: object): string | null =>
      codeOf(
        () => new Trainer({ model: new OneNumber(), task: madeUp(() => 1), data: [1], ...options }),
      );
    expect(make({ steps: 1 })).toBeNull();
    for (const options of [
      {},
      { steps: 0 },
      { steps: 1, batchSize: 0 },
      { steps: 1, clipNorm: 0 },
      { steps: 1, evaluateEvery: 0 },
      { steps: 1, precision: "float16" },
      { steps: 1, metric: "f1" },
      { steps: 1, earlyStopping: {} },
      { steps: 1, schedule: "step" },
      { steps: 1, resume: true },
      { epochs: 1, data: streamed(() => [1]), schedule: "cosine" },
    ]) {
      expect(make(options)).toBe("argument");
    }
    const trainer = new Trainer({
      model: new OneNumber(),
      task: madeUp(() => 1),
      data: [] as number[],
      steps: 1,
    });
    await expect(trainer.train()).rejects.toThrow(
      "an epoch must give at least one batch, got none",
    );
    await expect(trainer.train()).rejects.toThrow("run() can be called once");
    await expect(trainer.evaluate()).rejects.toThrow("evaluate needs data, got none");
    await expect(trainer.save()).rejects.toThrow("saving needs a storage, got none");
  });
});
