import { fromData, setDevice, tensor, type Tensor } from "@x/tensor";
import { Module } from "@x/tensor/nn";
import { beforeAll, describe, expect, test } from "vitest";
import { codeOf } from "@x/tensor/testing";
import { devices } from "../../../tensor/test/devices.js";
import { classification } from "./classification.js";
import { languageModelling } from "./language-modelling.js";
import { forecasting, regression } from "./regression.js";
import { sequenceToSequence, type SequencePairCall } from "./sequence-to-sequence.js";

/** Numbers that follow from a place. */
const noise = (i: number): number => Math.sin(i * 12.9898) * 2;

/** A model whose outputs are given, whatever it reads. */
class Given extends Module {
  readonly outputs: Tensor;
  readonly read: Tensor[] = [];

  constructor(outputs: Tensor) {
    super();
    this.outputs = outputs;
  }

  forward(...read: readonly [Tensor, ...unknown[]]): Tensor {
    this.read.push(read[0]);
    return this.outputs;
  }
}

/** −log softmax at the target, in plain JavaScript. */
function surprise(logits: readonly number[], target: number): number {
  const largest = Math.max(...logits);
  const sum = logits.reduce((all, x) => all + Math.exp(x - largest), 0);
  return Math.log(sum) + largest - logits[target]!;
}

const argmax = (x: readonly number[]): number => x.indexOf(Math.max(...x));

describe.each(devices)("on %s", (_, device) => {
  beforeAll(() => {
    setDevice(device);
  });

  test("language modelling predicts each token from those before it", async () => {
    const vocabulary = 5;
    // The token 4 stands for four bytes, 0 for padding; the others for one.
    const task = languageModelling({
      padding: 4,
      padToken: 0,
      bytesPerToken: (token) => (token === 4 ? 4 : 1),
    });
    const examples = [Uint8Array.of(1, 2, 4, 3, 1), [2, 0, 3]];
    const batch = task.collate(examples);
    expect(await batch.tokens.toArray()).toEqual([
      [1, 2, 4, 3],
      [2, 0, 0, 0],
    ]);
    const targets = [2, 4, 3, 1, -100, 3, -100, -100];
    expect([...(await batch.targets.data())]).toEqual(targets);
    expect([batch.count, batch.bytes]).toEqual([5, 8]);

    const logits = Array.from({ length: 8 }, (_, row) =>
      Array.from({ length: vocabulary }, (_, i) => noise(row * 7 + i)),
    );
    const model = new Given(tensor(logits).reshape([2, 4, vocabulary]));
    const counted = targets.flatMap((target, row) => (target < 0 ? [] : [[row, target] as const]));
    const sum = counted.reduce((all, [row, target]) => all + surprise(logits[row]!, target), 0);
    const hits = counted.filter(([row, target]) => argmax(logits[row]!) === target).length;
    expect(await task.loss(model, batch).item()).toBeCloseTo(sum, 4);
    const meter = task.meter();
    await meter.add(model, batch);
    await meter.add(model, batch);
    const metrics = meter.metrics();
    expect(Object.keys(metrics).sort()).toEqual([...task.metricNames].sort());
    expect(metrics.loss).toBeCloseTo(sum / 5, 5);
    expect(metrics.perplexity).toBeCloseTo(Math.exp(sum / 5), 4);
    expect(metrics.bitsPerToken).toBeCloseTo(sum / 5 / Math.LN2, 5);
    expect(metrics.bitsPerByte).toBeCloseTo(sum / 8 / Math.LN2, 5);
    expect(metrics.accuracy).toBe(hits / 5);
  });

  test("classification counts what it finds", async () => {
    const task = classification({ classes: 4, padding: "longest" });
    const labels = [0, 1, 2, 2, 1, 0];
    const batch = task.collate(
      labels.map((label, i) => ({ tokens: new Array<number>(1 + (i % 2)).fill(7), label })),
    );
    expect(batch.input.shape).toEqual([6, 2]);
    expect(await batch.keyMask!.toArray()).toEqual(
      labels.map((_, i) => (i % 2 === 0 ? [true, false] : [true, true])),
    );
    const predictions = [0, 1, 2, 1, 1, 1];
    const logits = predictions.map((prediction, row) =>
      Array.from({ length: 4 }, (_, i) => (i === prediction ? 3 : 0) + noise(row * 5 + i) / 4),
    );
    expect(logits.map(argmax)).toEqual(predictions);
    const model = new Given(tensor(logits));
    const sum = labels.reduce((all, label, row) => all + surprise(logits[row]!, label), 0);
    expect(await task.loss(model, batch).item()).toBeCloseTo(sum, 4);
    const meter = task.meter();
    await meter.add(model, batch);
    const { loss, accuracy, f1Macro } = meter.metrics();
    expect(loss).toBeCloseTo(sum / 6, 5);
    expect(accuracy).toBeCloseTo(4 / 6, 12);
    // Class 0: hit 1 of 1 predicted and 2 there; 1: 2 of 4, 2 there; 2: 1 of 1, 2 there.
    expect(f1Macro).toBeCloseTo((2 / 3 + 4 / 6 + 2 / 3) / 3, 12);
  });

  test("regression measures distances", async () => {
    const targets = [
      [1, 2],
      [3, 5],
      [-1, 0.5],
    ];
    const outputs = targets.map((row, i) => row.map((x, j) => x + noise(i * 2 + j)));
    const model = new Given(tensor(outputs).reshape([3, 2, 1]));
    const distances = targets.flatMap((_, i) => [noise(2 * i), noise(2 * i + 1)]);
    const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;
    const huber = (x: number): number => (Math.abs(x) <= 1 ? (x * x) / 2 : Math.abs(x) - 0.5);
    const expected = {
      mse: mean(distances.map((x) => x * x)),
      mae: mean(distances.map(Math.abs)),
      huber: mean(distances.map(huber)),
    };
    for (const loss of ["mse", "mae", "huber"] as const) {
      const task = regression({ inputDim: 3, loss, padding: "longest" });
      const batch = task.collate(targets.map((target) => ({ features: [1, 2, 3], target })));
      expect(batch.input.shape).toEqual([3, 1, 3]);
      expect(batch.keyMask).toBeNull();
      expect(await task.loss(model, batch).item()).toBeCloseTo(6 * expected[loss], 4);
      const meter = task.meter();
      await meter.add(model, batch);
      const metrics = meter.metrics();
      expect(metrics.loss).toBeCloseTo(expected[loss], 5);
      expect(metrics.mse).toBeCloseTo(expected.mse, 5);
      expect(metrics.rmse).toBeCloseTo(Math.sqrt(expected.mse), 5);
      expect(metrics.mae).toBeCloseTo(expected.mae, 5);
    }
  });

  test("sequence to sequence reads a begin token and predicts an end token", async () => {
    const task = sequenceToSequence({ beginToken: 1, endToken: 2, padding: "longest" });
    const batch = task.collate([
      { source: [5, 6, 7], target: [8] },
      { source: [5], target: [8, 9] },
    ]);
    expect(await batch.source.toArray()).toEqual([
      [5, 6, 7],
      [5, 0, 0],
    ]);
    expect(await batch.sourceKeyMask!.toArray()).toEqual([
      [true, true, true],
      [true, false, false],
    ]);
    expect(await batch.target.toArray()).toEqual([
      [1, 8, 0],
      [1, 8, 9],
    ]);
    expect([...(await batch.targets.data())]).toEqual([8, 2, -100, 8, 9, 2]);
    expect(batch.count).toBe(5);
    const calls: SequencePairCall[] = [];
    class Pairs extends Given {
      override forward(source: Tensor, target: Tensor, call?: SequencePairCall): Tensor {
        calls.push(call!);
        return super.forward(source, target);
      }
    }
    const logits = Array.from({ length: 60 }, (_, i) => noise(i));
    const model = new Pairs(fromData(Float32Array.from(logits), [2, 3, 10]));
    const expected = [8, 2, -100, 8, 9, 2].reduce(
      (sum, target, row) =>
        target < 0 ? sum : sum + surprise(logits.slice(row * 10, row * 10 + 10), target),
      0,
    );
    expect(await task.loss(model, batch).item()).toBeCloseTo(expected, 4);
    expect(calls[0]!.sourceKeyMask).toBe(batch.sourceKeyMask);
  });
});

test("what does not fit is refused", () => {
  const language = languageModelling({ padding: 4 });
  expect(() => language.collate([[1]])).toThrow(
    "languageModelling: an example must have at least two tokens, got 1. Leave it out.",
  );
  expect(() => language.collate([[1, 2, 3, 4, 5, 6]])).toThrow(
    "languageModelling: sequences must have at most 4 positions, as padding says, got 5. Cut them, or pad to more.",
  );
  expect(codeOf(() => languageModelling({ padding: 0 }))).toBe("argument");
  for (const make of [
    () => languageModelling({ padToken: 0.5 }),
    () => classification({ classes: 2, padToken: -1 }),
    () => sequenceToSequence({ beginToken: 1, endToken: 2, padToken: -1 }),
  ]) {
    expect(make).toThrow(/: padToken must be a whole number of at least 0, got (-1|0\.5)\./);
    expect(codeOf(make)).toBe("argument");
  }
  const classes = classification({ classes: 2, inputDim: 2 });
  expect(() => classes.collate([{ features: [1, 2], label: 2 }])).toThrow(
    "classification: labels must be whole numbers from 0 to 1, got 2. Correct them, or classes.",
  );
  expect(() => classes.collate([{ features: [1, 2, 3], label: 1 }])).toThrow(
    "classification: the features of an example must be vectors of 2 numbers, got 3 numbers.",
  );
  const model = new Given(tensor([[1, 2, 3]]));
  const batch = classes.collate([{ features: [1, 2], label: 1 }]);
  expect(() => classes.loss(model, batch)).toThrow(
    "classification: the model must give logits [batch, 2], got shape [1, 3]. Check its head and pooling.",
  );
  const forecast = forecasting({ inputDim: 1 });
  expect(() => forecast.collate([{ features: [1], target: [1, NaN] }])).toThrow(
    "forecasting: every target must hold 2 finite numbers, got [1, NaN]. Correct it.",
  );
});
