/** Feature attention. */

import {
  emptyFeatureAttentionState,
  featureAttention,
  noGrad,
  type FeatureAttentionOptions,
  type FeatureAttentionState,
} from "@x/tensor";
import { casesOf, type Inputs, type Results, type SelfTestCase } from "../case.js";

interface Sizes {
  readonly heads?: number;
  readonly keyHeads?: number;
  readonly queries: number;
  readonly keys?: number;
  readonly size: number;
  readonly valueSize?: number;
  /** Random features; without them those of the linear transformer. */
  readonly features?: number;
  /** The largest number of a key. */
  readonly largest?: number;
}

function featuresOf(
  inputs: Inputs,
  { size, features }: Sizes,
): FeatureAttentionOptions["features"] {
  if (features === undefined) return "exponential";
  return { projection: inputs.floats([features, size]), epsilon: 1e-2 };
}

function attend(
  inputs: Inputs,
  sizes: Sizes,
  options: Omit<FeatureAttentionOptions, "features">,
  continues = false,
): Results {
  const { heads = 2, keyHeads = heads, queries, keys = queries, size, valueSize = size } = sizes;
  const features = featuresOf(inputs, sizes);
  // Large keys make the running maxima rise.
  const vectors = (length: number, largest = 3) =>
    inputs.floats([2, keyHeads, length, size], -largest, largest);
  const values = (length: number) => inputs.floats([2, keyHeads, length, valueSize]);
  const earlier = noGrad((): FeatureAttentionState | null => {
    if (!continues) return null;
    const [key, value] = [vectors(5, 1), values(5)];
    return featureAttention(key, key, value, { features }).state;
  });
  const tensors = [
    inputs.floats([2, heads, queries, size]),
    vectors(keys, sizes.largest),
    values(keys),
  ] as const;
  const all = { features, ...options, ...(earlier ? { state: earlier } : {}) };
  const last = noGrad(() => Object.values({ ...featureAttention(...tensors, all).state }));
  const results = inputs.withGradients(tensors, (q, k, v) => [
    featureAttention(q, k, v, all).output,
  ]);
  return [...results, ...last];
}

/** Forward and backward in chunks, with masks and states; decoding in place. */
export const featureAttentionCases: readonly SelfTestCase[] = casesOf(
  "feature attention",
  { tolerance: 5e-5 },
  {
    "random features, causal, grouped heads, 70 of 32": (inputs) =>
      attend(
        inputs,
        { heads: 4, keyHeads: 2, queries: 70, size: 32, features: 48 },
        { causal: true },
      ),
    "random features, causal, one head, 270 of 16": (inputs) =>
      attend(
        inputs,
        { heads: 1, queries: 270, size: 16, features: 32 },
        { causal: true, keyMask: inputs.booleans([2, 270]) },
      ),
    "random features, many of 128": (inputs) =>
      attend(
        inputs,
        { heads: 1, queries: 20, size: 128, features: 128, largest: 1 },
        { causal: true },
      ),
    "exponential, causal, continued, odd sizes": (inputs) =>
      attend(inputs, { queries: 20, keys: 45, size: 13, valueSize: 19 }, { causal: true }, true),
    "exponential, all keys": (inputs) =>
      attend(inputs, { queries: 40, keys: 60, size: 16 }, { keyMask: inputs.booleans([2, 60]) }),
    "exponential, mask": (inputs) =>
      attend(
        inputs,
        { queries: 40, keys: 90, size: 16 },
        { mask: inputs.integers([40], -1, 90) },
        true,
      ),
    "decoding, state in place": async (inputs) => {
      const [batch, heads, size, features] = [2, 2, 16, 24];
      const map = featuresOf(inputs, { queries: 1, size, features });
      const sizes = { batch, keyHeads: heads, features, valueSize: size };
      const { device } = inputs;
      const state = emptyFeatureAttentionState(sizes, { device });
      const draw = (count: number): ReturnType<Inputs["floats"]> =>
        inputs.floats([batch, count, 1, size]);
      const outputs = [];
      for (let token = 0; token < 3; token++) {
        const next = noGrad(() =>
          featureAttention(draw(2 * heads), draw(heads), draw(heads), {
            features: map,
            causal: true,
            state,
          }),
        );
        for (const name of Object.keys(state) as (keyof FeatureAttentionState)[]) {
          state[name].assign(next.state[name]);
        }
        outputs.push(await next.output.realize());
      }
      return [...outputs, ...Object.values({ ...state })];
    },
  },
);
