/** Small transformers as tests make them, tokens for them, and how their steps are compared. */

import { expect } from "vitest";
import { cat, fromData, noGrad, type Tensor } from "@x/tensor";
import type { TransformerOptions } from "../src/config/fields.js";
import { TransformerConfig } from "../src/config/transformer-config.js";

/** How near results of two ways to compute the same are. */
export const close = { relative: 2e-4, absolute: 1e-5, relativeTo: "largest" } as const;

/** A configuration with numbers so large that everything has a say in the results. */
export function smallConfig(options: TransformerOptions = {}): TransformerConfig {
  return new TransformerConfig({
    ...{ vocabSize: 23, outputDim: 23, dModel: 16, nHeads: 4, nLayers: 2, dFf: 24, maxSeqLen: 24 },
    initializerRange: 0.3,
    ...options,
  });
}

/** Tokens that such models know, int32 [batch, length]; none of them is 0. */
export function tokensOf(batch: number, length: number): Tensor {
  const numbers = Int32Array.from(
    { length: batch * length },
    (_, i) => 1 + ((i * 7 + (i % 5)) % 22),
  );
  return fromData(numbers, [batch, length]);
}

/** The results of calls on parts of a sequence, each computed before the next, joined. */
export async function inParts(
  lengths: readonly number[],
  call: (start: number, length: number) => Tensor,
): Promise<Tensor> {
  const parts: Tensor[] = [];
  let start = 0;
  for (const length of lengths) {
    const part = noGrad(() => call(start, length));
    await part.data();
    parts.push(part);
    start += length;
  }
  return cat(parts, 1);
}

/** Expects the bytes in use after each of some steps to grow no more after the first half. */
export function expectSteady(bytes: readonly number[]): void {
  const half = bytes.length >> 1;
  // What is read back from a GPU may be staged in one of two places.
  expect(Math.max(...bytes.slice(half))).toBeLessThanOrEqual(Math.max(...bytes.slice(0, half)));
}
