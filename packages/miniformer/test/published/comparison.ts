/** How loaded models and plain code are compared: with each other, and with what was recorded. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { fromData, type Tensor } from "@x/tensor";
import { openSafetensors } from "@x/tensor/safetensors";
import { expectClose } from "@x/tensor/testing";
import type { PlainConfig } from "./checkpoints.js";
import type { Matrix, PlainTensors } from "./numbers.js";

/** The tokens of one sequence. */
export const ids: readonly number[] = [3, 17, 5, 5, 28, 11, 0, 23, 9, 14, 2, 30, 7];

/** The same as a tensor. */
export const tokens = (): Tensor => fromData(Int32Array.from(ids), [1, ids.length]);

/** A key mask of one sequence. */
export const maskOf = (flags: readonly number[]): Tensor =>
  fromData(Uint8Array.from(flags), [1, flags.length], { dtype: "bool" });

/** Expects the results of a model for one sequence. */
export async function expectRows(actual: Tensor, expected: Matrix): Promise<void> {
  await expectNumbers(actual, expected.flat(), [1, expected.length, expected[0]!.length]);
}

/** Expects one result of a model for the whole of one sequence. */
export async function expectRow(actual: Tensor, expected: readonly number[]): Promise<void> {
  await expectNumbers(actual, expected, [1, expected.length]);
}

async function expectNumbers(
  actual: Tensor,
  expected: readonly number[],
  shape: readonly number[],
): Promise<void> {
  const close = { relative: 1e-4, absolute: 0, relativeTo: "largest" } as const;
  await expectClose(actual, fromData(Float32Array.from(expected), [...shape]), close);
}

/** Tensors with what `rename` makes of their names. */
export function withNames(tensors: PlainTensors, rename: (name: string) => string): PlainTensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [rename(name), tensor]),
  );
}

const recordings = new URL("../../../../goldens-hf/", import.meta.url);

/** A recording: a checkpoint, and the first row of what the published code made of it. */
export interface Recording {
  readonly config: PlainConfig;
  readonly tensors: PlainTensors;
  /** The first sequence. */
  readonly ids: readonly number[];
  /** Expects plain code to give what was recorded for it under a name. */
  expect(actual: Matrix, output: string): void;
}

/** Reads a recording. */
export async function recorded(name: string): Promise<Recording> {
  const read = async (file: string): Promise<Buffer> =>
    readFile(fileURLToPath(new URL(`${name}/${file}`, recordings)));
  const all = async (file: string): Promise<PlainTensors> => {
    const opened = await openSafetensors(await read(file));
    const entries = opened.names.map(async (key) => {
      const { data } = await opened.data(key);
      return [key, { shape: opened.entry(key).shape, data }] as const;
    });
    return Object.fromEntries(await Promise.all(entries));
  };
  const outputs = await all("expected.safetensors");
  const { shape, data } = outputs["input.ids"]!;
  return {
    config: JSON.parse((await read("config.json")).toString()) as PlainConfig,
    tensors: await all("model.safetensors"),
    ids: Array.from(data).slice(0, shape[1]),
    expect(actual, output) {
      const recording = outputs[output]!;
      const [, length, size] = recording.shape as [number, number, number];
      for (let i = 0; i < length; i++) {
        for (let j = 0; j < size; j++) {
          expect(actual[i]![j]!).toBeCloseTo(recording.data[i * size + j]!, 4);
        }
      }
    },
  };
}
