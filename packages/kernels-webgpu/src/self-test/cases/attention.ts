/** Softmax attention. */

import { scaledDotProductAttention, type AttentionOptions } from "@x/tensor";
import { casesOf, type Inputs, type Results, type SelfTestCase } from "../case.js";

interface Sizes {
  readonly heads?: number;
  readonly keyHeads?: number;
  readonly queries: number;
  readonly keys: number;
  readonly size: number;
  readonly valueSize?: number;
}

function attend(
  inputs: Inputs,
  { heads = 2, keyHeads = heads, queries, keys, size, valueSize = size }: Sizes,
  options: AttentionOptions = {},
): Results {
  const tensors = [
    inputs.floats([2, heads, queries, size]),
    inputs.floats([2, keyHeads, keys, size]),
    inputs.floats([2, keyHeads, keys, valueSize]),
  ];
  const all = { enableGqa: true, generator: inputs.generator, ...options };
  return inputs.withGradients(tensors, (q, k, v) => [scaledDotProductAttention(q, k, v, all)]);
}

/** Forward and backward over masks, windows and sizes; decoding forward. */
export const attentionCases: readonly SelfTestCase[] = casesOf(
  "attention",
  { tolerance: 2e-5 },
  {
    "all keys, 33 queries of 16": (inputs) => attend(inputs, { queries: 33, keys: 50, size: 16 }),
    "causal, 70 of 32": (inputs) =>
      attend(inputs, { queries: 70, keys: 70, size: 32 }, { isCausal: true }),
    "causal, 130 of 64": (inputs) =>
      attend(inputs, { queries: 130, keys: 130, size: 64 }, { isCausal: true }),
    "causal, 40 of 128, one head": (inputs) =>
      attend(inputs, { heads: 1, queries: 40, keys: 40, size: 128 }, { isCausal: true }),
    "odd sizes, 21 of 13 to 19": (inputs) =>
      attend(inputs, { queries: 21, keys: 37, size: 13, valueSize: 19 }),
    "grouped heads": (inputs) =>
      attend(inputs, { heads: 6, keyHeads: 2, queries: 20, keys: 30, size: 16 }),
    window: (inputs) =>
      attend(inputs, { queries: 50, keys: 50, size: 16 }, { isCausal: true, window: [9, 0] }),
    mask: (inputs) =>
      attend(
        inputs,
        { queries: 30, keys: 40, size: 16 },
        { mask: inputs.booleans([2, 1, 30, 40]) },
      ),
    bias: (inputs) =>
      attend(inputs, { queries: 30, keys: 40, size: 16 }, { mask: inputs.floats([1, 2, 30, 40]) }),
    dropout: (inputs) =>
      attend(inputs, { queries: 30, keys: 40, size: 16 }, { isCausal: true, dropoutP: 0.3 }),
    "one query, 300 keys of 64": (inputs) => [
      scaledDotProductAttention(
        inputs.floats([2, 4, 1, 64]),
        inputs.floats([2, 2, 300, 64]),
        inputs.floats([2, 2, 300, 64]),
        { enableGqa: true },
      ),
    ],
  },
);
