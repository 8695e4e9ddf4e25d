/** Cumulative linear attention. */

import {
  cumulativeLinearAttention,
  noGrad,
  rmsNorm,
  type CumulativeLinearAttentionOptions,
  type Tensor,
} from "@x/tensor";
import { casesOf, type Inputs, type Results, type SelfTestCase } from "../case.js";

interface Sizes {
  readonly heads?: number;
  readonly keyHeads?: number;
  readonly queries: number;
  readonly keys?: number;
  readonly size: number;
  readonly valueSize?: number;
}

function attend(
  inputs: Inputs,
  { heads = 2, keyHeads = heads, queries, keys = queries, size, valueSize = size }: Sizes,
  options: CumulativeLinearAttentionOptions,
  continues = false,
): Results {
  const tensors = [
    inputs.floats([2, heads, queries, size]),
    inputs.floats([2, keyHeads, keys, size]),
    inputs.floats([2, keyHeads, keys, valueSize]),
    ...(continues ? [inputs.floats([2, keyHeads, size, valueSize])] : []),
  ];
  return inputs.withGradients(tensors, (q, k, v, state) => {
    const all = state === undefined ? options : { ...options, state };
    const result = cumulativeLinearAttention(q, k, v, { scale: 0.25, ...all });
    return [result.output, result.state];
  });
}

/** Forward and backward in chunks, with masks and states; decoding in place. */
export const linearAttentionCases: readonly SelfTestCase[] = casesOf(
  "linear attention",
  { tolerance: 2e-5 },
  {
    "causal, 33 of 16": (inputs) => attend(inputs, { queries: 33, size: 16 }, { causal: true }),
    "causal, 200 of 64": (inputs) => attend(inputs, { queries: 200, size: 64 }, { causal: true }),
    "causal, 40 of 128, one head": (inputs) =>
      attend(inputs, { heads: 1, queries: 40, size: 128 }, { causal: true }),
    "causal, continued, 70 of 32": (inputs) =>
      attend(inputs, { queries: 70, size: 32 }, { causal: true }, true),
    "causal, more keys than queries": (inputs) =>
      attend(inputs, { queries: 20, keys: 50, size: 16 }, { causal: true }, true),
    "odd sizes, 45 of 13 to 19": (inputs) =>
      attend(inputs, { queries: 45, size: 13, valueSize: 19 }, { causal: true }),
    "all keys": (inputs) => attend(inputs, { queries: 40, keys: 60, size: 16 }, {}),
    "grouped heads": (inputs) =>
      attend(inputs, { heads: 6, keyHeads: 2, queries: 30, size: 16 }, { causal: true }),
    mask: (inputs) =>
      attend(
        inputs,
        { queries: 40, keys: 90, size: 16 },
        { mask: inputs.integers([40], -1, 90) },
        true,
      ),
    "decoding, with norms of queries and keys": (inputs) => {
      const normalized = (heads: number): Tensor => rmsNorm(inputs.floats([2, heads, 1, 16]), 16);
      const { output, state } = cumulativeLinearAttention(
        normalized(4),
        normalized(2),
        inputs.floats([2, 2, 1, 20]),
        { causal: true, state: inputs.floats([2, 2, 16, 20]) },
      );
      return [output, state];
    },
    "decoding, state in place": async (inputs) => {
      const state = await inputs.floats([2, 3, 16, 16]).realize();
      const draw = (): ReturnType<Inputs["floats"]> => inputs.floats([2, 3, 1, 16]);
      const outputs = [];
      for (let token = 0; token < 3; token++) {
        const next = noGrad(() =>
          cumulativeLinearAttention(draw(), draw(), draw(), { causal: true, state }),
        );
        state.assign(next.state);
        outputs.push(await next.output.realize());
      }
      return [...outputs, state];
    },
  },
);
