/** Small models of @x/miniformer with any attention mechanism, for tests. */

import {
  arange,
  cat,
  fromData,
  getDevice,
  manualSeed,
  noGrad,
  setDevice,
  type Tensor,
} from "@x/tensor";
import {
  Transformer,
  TransformerConfig,
  type LanguageModel,
  type TransformerOptions,
} from "@x/miniformer";
import { afterAll, beforeAll, describe } from "vitest";
import type { devices } from "../../../packages/tensor/test/devices.js";
import { registerMechanisms } from "../src/mechanisms/register.js";
import { mechanisms } from "../src/mechanisms/table.js";

/** What all tests feed: so many sequences, tokens of each, kinds of tokens, and elements of a vector. */
export const batch = 2;
export const length = 18;
export const vocabulary = 11;
export const width = 16;
/** How close results must be. */
export const close = { relative: 1e-3, absolute: 1e-4, relativeTo: "largest" } as const;

/** The names of all mechanisms. */
export const names: readonly string[] = mechanisms.map(({ name }) => name);
/** All of them in one model. */
export const hybrid: TransformerOptions = { attention: names, nLayers: names.length };

/** A configuration of `length` tokens and some more, of one layer unless said otherwise. */
export function configOf(options: TransformerOptions): TransformerConfig {
  return TransformerConfig.tiny({
    ...{ dModel: width, nHeads: 2, nLayers: 1, maxSeqLen: 24 },
    // Far from 0, so that attention is not the mean of all values.
    initializerRange: 0.2,
    ...options,
  });
}

/** A language model, or an encoder of vectors where the options say so. */
export function makeModel(options: TransformerOptions): Transformer {
  manualSeed(3);
  return new Transformer(configOf({ vocabSize: vocabulary, ...options })).eval();
}

/** Sequences of tokens [batch, length]. */
export function someTokens(): Tensor {
  const numbers = Int32Array.from({ length: batch * length }, (_, i) => i * 7 + (i % 3));
  return fromData(
    numbers.map((x) => x % vocabulary),
    [batch, length],
  );
}

/** Which of `length` places are from `first` on, for each sequence of the batch. */
export function placesFrom(...first: number[]): Tensor {
  return arange(length).ge(fromData(Int32Array.from(first), [batch, 1]));
}

/** Makes tests on each of some devices, where models can name every mechanism. */
export function describeOn(chosen: typeof devices, makeTests: (deviceName: string) => void): void {
  for (const [name, device] of chosen) {
    describe(`on ${name}`, () => {
      const before = getDevice();
      beforeAll(() => {
        setDevice(device);
        registerMechanisms();
      });
      afterAll(() => {
        setDevice(before);
      });
      makeTests(name);
    });
  }
}

/** What a model gives for the parts of a sequence, one after the other. */
export async function inParts(
  model: LanguageModel,
  tokens: Tensor,
  keyMask: Tensor | null = null,
): Promise<Tensor> {
  const state = model.initState({ batch, capacity: 24, masked: keyMask !== null });
  const parts: Tensor[] = [];
  let start = 0;
  for (const size of [7, 1, 1, 7, 1, 1]) {
    const mask = keyMask?.narrow(1, start, size) ?? null;
    const call = { state, keyMask: mask };
    parts.push(await noGrad(() => model.forward(tokens.narrow(1, start, size), call)).realize());
    start += size;
  }
  return cat(parts, 1);
}
