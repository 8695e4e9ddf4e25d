/** Models of @x/miniformer with every attention mechanism of the project learn what only attention can tell. */

import { crossEntropy, fromData, manualSeed, type Tensor } from "@x/tensor";
import type { Module } from "@x/tensor/nn";
import { randomNumbers } from "@x/tensor/testing";
import {
  Seq2SeqTransformer,
  Transformer,
  TransformerConfig,
  type TransformerOptions,
} from "@x/miniformer";
import { describe, expect, it } from "vitest";
import { devices } from "../../../packages/tensor/test/devices.js";
import { fit } from "../src/mechanisms/learn.js";
import { mechanisms } from "../src/mechanisms/table.js";
import { describeOn } from "./small-models.js";

const symbols = 8;
const length = 18;
const batch = 16;

/** Whole numbers below a limit, the same on every device. */
class Numbers {
  private readonly random = randomNumbers(7);

  next(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  list(size: number, limit: number): number[] {
    return Array.from({ length: size }, () => this.next(limit));
  }
}

const table = (rows: readonly (readonly number[])[]): Tensor =>
  fromData(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);

function configOf(attention: string, changes: TransformerOptions): TransformerConfig {
  return TransformerConfig.tiny({
    ...{ vocabSize: symbols, dModel: 32, nHeads: 2, nLayers: 1, dFf: 64, maxSeqLen: 24 },
    attention,
    ...changes,
  });
}

/** A model, and its loss for a batch that is new every time. */
interface Task {
  readonly model: Module;
  readonly loss: () => Tensor;
}

const rows = (make: () => number[]): number[][] => Array.from({ length: batch }, make);

/** What comes next in a sequence that repeats its first three symbols. */
function continueRhythm(attention: string, numbers: Numbers): Task {
  const model = new Transformer(configOf(attention, {}));
  const loss = (): Tensor => {
    const tokens = table(
      rows(() => {
        const beat = numbers.list(3, symbols);
        return Array.from({ length: length + 1 }, (_, i) => beat[i % 3]!);
      }),
    );
    // The first three cannot be known.
    const logits = model.forward(tokens.narrow(1, 0, length)).narrow(1, 2, length - 2);
    return crossEntropy(logits.flatten(0, 1), tokens.narrow(1, 3, length - 2).flatten());
  };
  return { model, loss };
}

/** Symbols, the first one aside about every other of them, by chance, the same. */
function mostly(symbol: number, numbers: Numbers): number[] {
  const row = numbers.list(length, symbols);
  return row.map((other, i) => (i > 0 && numbers.next(2) === 0 ? symbol : other));
}

/** Which symbol is marked, told by the first place, which is not. */
function findMarked(attention: string, numbers: Numbers): Task {
  const model = new Transformer(
    configOf(attention, {
      ...{ vocabSize: 2 * symbols, outputDim: symbols, tieEmbeddings: false },
      ...{ causal: false, pooling: "first" },
    }),
  );
  const loss = (): Tensor => {
    const labels = numbers.list(batch, symbols);
    const tokens = table(labels.map((label) => mostly(symbols + label, numbers)));
    return crossEntropy(model.forward(tokens), fromData(Int32Array.from(labels), [batch]));
  };
  return { model, loss };
}

/** Which symbol stands in the source where the target goes on: nothing in the target tells. */
function copySource(attention: string, numbers: Numbers): Task {
  const begin = symbols;
  const model = new Seq2SeqTransformer(
    // From weights of 0.02 the scores of a small model are so even that it takes long to find its place.
    configOf(attention, { vocabSize: symbols + 1, initializerRange: 0.1 }),
  );
  const loss = (): Tensor => {
    const copied = rows(() => numbers.list(8, symbols));
    const read = table(copied.map((row) => [begin, ...row.slice(0, -1)]));
    const logits = model.forward(table(copied), read);
    return crossEntropy(logits.flatten(0, 1), table(copied).flatten());
  };
  return { model, loss };
}

interface Goal {
  readonly kind: string;
  readonly make: (attention: string, numbers: Numbers) => Task;
  readonly steps: number;
  readonly rate: number;
  /** What the loss must fall below. */
  readonly bound: number;
}

/**
 * Without attention, between its own positions or in an encoder–decoder to the source, the loss of a model
 * stays near ln 8, which is 2.08.
 */
const lessons: readonly Goal[] = [
  { kind: "decoders", make: continueRhythm, steps: 100, rate: 1e-2, bound: 0.5 },
  { kind: "encoders", make: findMarked, steps: 60, rate: 1e-2, bound: 0.5 },
  { kind: "encoder–decoders", make: copySource, steps: 150, rate: 5e-3, bound: 0.5 },
];

/** Where a step takes long: that the loss begins to fall. */
const shortLessons: readonly Goal[] = [
  { kind: "decoders", make: continueRhythm, steps: 30, rate: 1e-2, bound: 1.7 },
  { kind: "encoders", make: findMarked, steps: 30, rate: 1e-2, bound: 1.2 },
  { kind: "encoder–decoders", make: copySource, steps: 60, rate: 1e-2, bound: 1.8 },
];

/** The mean loss of the last ten steps. */
async function train({ model, loss }: Task, steps: number, rate: number): Promise<number> {
  let sum = 0;
  await fit(model, loss, { steps, rate, warmUp: 5 }, async (step, current) => {
    if (step > steps - 10) sum += await current.item();
  });
  return sum / 10;
}

// The reference is there to be compared with, not to train.
describeOn(
  devices.filter(([name]) => name !== "reference"),
  (deviceName) => {
    describe.each(mechanisms)("$name", ({ name }) => {
      const some = deviceName === "wasm" ? lessons : shortLessons;
      it.each(some)("trains in $kind", async ({ make, steps, rate, bound }) => {
        manualSeed(3);
        expect(await train(make(name, new Numbers()), steps, rate)).toBeLessThan(bound);
      });
    });
  },
);
