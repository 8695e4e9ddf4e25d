/** Feature attention on tensors. */

import { check } from "../error.js";
import type { Value } from "../graph/node.js";
import { cast } from "../ops/elementwise.js";
import { featureAttention as attend } from "../ops/feature-attention.js";
import { lowestMaximum, type FeatureAttentionSums } from "../ops/feature-attention-blocks.js";
import { checkNumbers, finite, nonNegative } from "./arguments.js";
import { checkHeads, checkKeyMask } from "./attention-checks.js";
import { full, zeros, type TensorOptions } from "./creation.js";
import { checkLastKeys } from "./linear-attention.js";
import { formatShape, sameShape, type Shape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** Positive random features: what `featureAttention` estimates exp(s² q·k) with. */
export interface RandomFeatures {
  /** P [F, d]: a random projection in a row for each feature. */
  readonly projection: Tensor;
  /** s: what queries and keys are multiplied by; default d^-1/4, so that s² q·k = q·k / √d. */
  readonly scale?: number;
  /** ε: what is added to every feature; default 1e-4. */
  readonly epsilon?: number;
}

/**
 * The sums over the keys so far, float32 tensors of fixed shapes. They are constants for gradients.
 */
export interface FeatureAttentionState extends FeatureAttentionSums<Tensor> {
  /** Σ_j exp(b_j − M) v_jᵀ, [b, hk, F, e]. */
  readonly keyValues: Tensor;
  /** Σ_j exp(b_j − M), [b, hk, F]. */
  readonly keys: Tensor;
  /** M, [b, hk]: the largest maximum of the keys, or the lowest float32 where there are none. */
  readonly maximum: Tensor;
  /** Σ_j v_j, [b, hk, e]. */
  readonly values: Tensor;
  /** The number of keys, [b, hk]. */
  readonly count: Tensor;
}

/** Options of `featureAttention`. */
export interface FeatureAttentionOptions {
  /** The feature map: `"exponential"` or random features. */
  readonly features: "exponential" | RandomFeatures;
  /** Whether query i sees the keys up to i + m − n only; default false. */
  readonly causal?: boolean;
  /**
   * The last key that each query sees: integers of shape [n], in any order, from −1 (none) to
   * m − 1. Not together with `causal`.
   */
  readonly mask?: Tensor;
  /** Which keys take part: bool [b, m]. */
  readonly keyMask?: Tensor;
  /** The sums to go on from; all queries see its keys. */
  readonly state?: FeatureAttentionState;
}

/** The results of `featureAttention`. */
export interface FeatureAttentionResult {
  /** [b, h, n, e] */
  readonly output: Tensor;
  /** The sums over all keys, with those of the given state. */
  readonly state: FeatureAttentionState;
}

/** A state without keys: zeros, and the lowest float32 as the maximum. */
export function emptyFeatureAttentionState(
  sizes: {
    /** b */
    readonly batch: number;
    /** hk */
    readonly keyHeads: number;
    /** F */
    readonly features: number;
    /** e */
    readonly valueSize: number;
  },
  options: TensorOptions = {},
): FeatureAttentionState {
  const shapes = stateShapes(sizes.batch, sizes.keyHeads, sizes.features, sizes.valueSize);
  const { keyValues, keys, maximum, values, count } = shapes;
  return {
    keyValues: zeros(keyValues, options),
    keys: zeros(keys, options),
    maximum: full(maximum, lowestMaximum, options),
    values: zeros(values, options),
    count: zeros(count, options),
  };
}

function stateShapes(
  batch: number,
  keyHeads: number,
  features: number,
  valueSize: number,
): FeatureAttentionSums<Shape> {
  const head = [batch, keyHeads];
  return {
    keyValues: [...head, features, valueSize],
    keys: [...head, features],
    maximum: head,
    values: [...head, valueSize],
    count: head,
  };
}

const stateParts = ["keyValues", "keys", "maximum", "values", "count"] as const;

/**
 * Normalised attention with weights that are products of positive features, in time and memory that
 * grow linearly with the lengths:
 *
 *     y_i = Σ_j w_ij v_j / Σ_j w_ij,   w_ij = Σ_f a_if (exp(b_jf − M_i) + ε)
 *
 * over the keys j that query i sees and that take part; 0 where there are none, or where all weights
 * are 0. M_i is the largest maximum of these keys: no exponent is above 0, and no query depends on
 * keys it does not see. In float32, features below about e^-88 times the largest are 0.
 *
 * - `"exponential"`, the linear transformer with the features softmax(q) and exp(k):
 *   `a_i = softmax(q_i)`, `b_j = k_j`, `ε = 0`, and the maximum of a key is that of `b_j`.
 * - `{ projection: P }`, positive random features:
 *   `a_i = exp(P q_i s − |q_i|² s²/2 − max(P q_i s)) + ε`, `b_j = P k_j s − |k_j|² s²/2`, and the
 *   maximum of a key is that of `P k_j s`.
 *
 * Fewer key heads than query heads are shared: query head i reads key head i / (h / hk). Gradients go
 * to queries, keys, values and the projection. Maxima are constants for them, and so are the numbers
 * of states: the resulting state has no gradient.
 *
 * Sources: Katharopoulos et al., "Transformers are RNNs" (2020); Choromanski et al., "Rethinking
 * Attention with Performers" (2021); Likhosherstov et al., "Simplex Random Features" (2023).
 *
 * @param query [b, h, n, d]
 * @param key [b, hk, m, d]
 * @param value [b, hk, m, e]
 * @throws XError `shape` or `dtype` if the tensors do not fit; `argument` for a mask together with
 * `causal`, a mask whose numbers are at hand and out of range, or a scale or epsilon out of range
 * @example
 * ```ts
 * import { featureAttention, tensor } from "@x/tensor";
 *
 * const x = tensor([[[[0], [0], [0]]]]);
 * const value = tensor([[[[1], [3], [8]]]]);
 * const { output, state } = featureAttention(x, x, value, { features: "exponential", causal: true });
 * console.log(await output.reshape([3]).toArray()); // → [ 1, 2, 4 ]
 * console.log(await state.count.toArray()); // → [ [ 3 ] ]
 *
 * const next = featureAttention(tensor([[[[0]]]]), tensor([[[[0]]]]), tensor([[[[0]]]]), {
 *   features: "exponential",
 *   causal: true,
 *   state,
 * });
 * console.log(await next.output.item()); // → 3
 * ```
 */
export function featureAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: FeatureAttentionOptions,
): FeatureAttentionResult {
  const { features, causal = false, mask, keyMask, state } = options;
  checkInputs(query, key, value, options);
  const float = (tensor: Tensor): Value => cast(tensor.value, "float32");
  const {
    projection = null,
    scale = query.shape[3]! ** -0.25,
    epsilon = 1e-4,
  } = features === "exponential" ? { scale: 1, epsilon: 0 } : features;
  const results = attend(
    {
      q: float(query),
      k: float(key),
      v: float(value),
      projection: projection && float(projection),
      mask: mask ? cast(mask.value, "int32") : null,
      keyMask: keyMask?.value ?? null,
      state: state ? mapState(state, float) : null,
    },
    mask ? "mask" : causal ? "causal" : "full",
    scale,
    epsilon,
  );
  const [output, keyValues, keys, maximum, values, count] = results.map(
    (result) => new Tensor(result),
  ) as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
  const sums = { keyValues, keys, maximum, values, count };
  return { output, state: mapState(sums, (tensor) => tensor.detach()) };
}

function mapState<T, R>(
  state: FeatureAttentionSums<T>,
  f: (part: T) => R,
): FeatureAttentionSums<R> {
  return {
    keyValues: f(state.keyValues),
    keys: f(state.keys),
    maximum: f(state.maximum),
    values: f(state.values),
    count: f(state.count),
  };
}

function checkInputs(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  { features, causal = false, mask, keyMask, state }: FeatureAttentionOptions,
): void {
  const name = "featureAttention";
  checkHeads(name, query, key, value);
  const [batch, keyHeads, keys, size] = key.shape as [number, number, number, number];
  let count = size;
  if (features !== "exponential") {
    const { projection, scale = 1, epsilon = 0 } = features;
    checkNumbers(name, finite, { scale });
    checkNumbers(name, nonNegative, { epsilon });
    check(
      projection.rank === 2 && projection.shape[1] === size && projection.shape[0]! > 0,
      "shape",
      () =>
        `${name}: the projection must have the axes [features, ${size}], got ${formatShape(projection.shape)}. Make one for heads of that size.`,
    );
    count = projection.shape[0]!;
  }
  check(
    !(causal && mask),
    "argument",
    () =>
      `${name}: a mask already says which keys are visible, got a mask together with causal. Pass one of the two.`,
  );
  if (mask) checkLastKeys(name, mask, query.shape[2]!, keys);
  checkKeyMask(name, keyMask, [batch, keys]);
  if (!state) return;
  const shapes = stateShapes(batch, keyHeads, count, value.shape[3]!);
  for (const part of stateParts) {
    check(
      sameShape(state[part].shape, shapes[part]),
      "shape",
      () =>
        `${name}: state.${part} must have the shape ${formatShape(shapes[part])}, got ${formatShape(state[part].shape)}. Start from emptyFeatureAttentionState() of these sizes.`,
    );
  }
}
