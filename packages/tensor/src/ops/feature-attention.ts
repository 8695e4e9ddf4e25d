/**
 * Feature attention: normalised attention whose weights are products of positive features of queries
 * and keys, in time and memory that grow linearly with the length.
 */

import {
  apply,
  makeOp,
  type Attributes,
  type GradientRule,
  type Op,
  type Spec,
  type Value,
} from "../graph/node.js";
import type { Shape } from "../tensor/shape.js";
import { multiply, subtract } from "./elementwise.js";
import type {
  FeatureAttentionBackwardInputs,
  FeatureAttentionProblem,
  FeatureAttentionSums,
} from "./feature-attention-blocks.js";
import {
  composeFeatureAttention,
  composeFeatureAttentionBackward,
} from "./feature-attention-definition.js";
import {
  linearAttentionSizes,
  type LinearAttentionMode,
  type LinearAttentionSizes,
} from "./linear-attention.js";
import { full } from "./movement.js";
import { sum } from "./reduce.js";

/** What a node is given, by name; which of it is there depends on the attributes. */
export interface FeatureAttentionInputs<T> {
  /** Queries [b, h, n, d]. */
  readonly q: T;
  /** Keys [b, hk, m, d]. */
  readonly k: T;
  /** Values [b, hk, m, e]. */
  readonly v: T;
  /** P [F, d]; with map `"random"`. */
  readonly projection: T | null;
  /** The last visible key of each query, int32 [n]; in mode `"mask"`. */
  readonly mask: T | null;
  /** Which keys take part, bool [b, m]. */
  readonly keyMask: T | null;
  /** The sums to start from. */
  readonly state: FeatureAttentionSums<T> | null;
  /** What the backward pass is given besides. */
  readonly backward: FeatureAttentionBackwardInputs<T> | null;
}

/** Names the inputs of a node, forward or backward: values here, operands on a device. */
export function featureAttentionInputs<T>(
  inputs: readonly T[],
  attributes: Attributes,
): FeatureAttentionInputs<T> {
  const [q, k, v, ...rest] = inputs as [T, T, T, ...T[]];
  const next = (): T => rest.shift()!;
  const { map, mode, keyMask, state, projectionCotangent } = attributes;
  return {
    q,
    k,
    v,
    projection: map === "random" ? next() : null,
    mask: mode === "mask" ? next() : null,
    keyMask: keyMask === true ? next() : null,
    state:
      state === true
        ? { keyValues: next(), keys: next(), maximum: next(), values: next(), count: next() }
        : null,
    backward:
      projectionCotangent === undefined
        ? null
        : { dy: next(), products: next(), denominators: next(), maxima: next() },
  };
}

/** The sizes of feature attention: those of linear attention, and the features. */
export interface FeatureAttentionSizes extends LinearAttentionSizes {
  /** F: features of a query and of a key. */
  readonly features: number;
}

/** Reads the sizes from the shapes of the inputs. */
export function featureAttentionSizes({
  q,
  k,
  v,
  projection,
}: FeatureAttentionInputs<Pick<Spec, "shape">>): FeatureAttentionSizes {
  const features = (projection?.shape[0] ?? q.shape[3])!;
  return { ...linearAttentionSizes(q, k, v), features };
}

function problemOf(
  inputs: FeatureAttentionInputs<Value>,
  { mode, scale, epsilon }: Attributes,
): FeatureAttentionProblem {
  const { q, k, v, projection, mask, keyMask, state } = inputs;
  return {
    sizes: featureAttentionSizes(inputs),
    mode: mode as LinearAttentionMode,
    map: { projection, scale: scale as number, epsilon: epsilon as number },
    ...{ q, k, v, mask, keyMask, state },
  };
}

/**
 * Inputs: see `FeatureAttentionInputs`, in that order. `h` is a multiple of `hk`; query head i reads
 * key head i / (h / hk). A query sees the keys j ≤ last_i that take part; causal: last_i = i + m − n.
 *
 * Attributes: `map` (`"exponential"` or `"random"`), `scale` s and `epsilon` ε (1 and 0 for
 * `"exponential"`), `mode`, and whether there are a `keyMask` and a `state`.
 *
 * Outputs: y [b, h, n, e] with y_i = Σ_j w_ij v_j / Σ_j w_ij, or 0 where that divisor is 0; the sums
 * over all keys and those of the given state (`FeatureAttentionSums`); and for the backward pass
 * Σ_j w_ij [b, h, n] and the running maxima M_j [b, hk, m], the state's included. Here
 *
 *   w_ij = Σ_f a_if (exp(b_jf − M_i) + ε),   M_i = M_j of the last key j ≤ last_i
 *   exponential: a_i = softmax(q_i),   b_j = k_j,   M_j ≥ max b_j
 *   random:      a_i = exp(P q_i s − |q_i|² s²/2 − max (P q_i s)) + ε,
 *                b_j = P k_j s − |k_j|² s²/2,   M_j ≥ max (P k_j s)
 *
 * Gradients go to q, k, v and the projection. Maxima are constants for them, and so are states.
 */
export const featureAttentionOp: Op = makeOp({
  name: "featureAttention",
  kind: "primitive",
  // The state comes last; decoding updates it where it is.
  inPlace: (inputs, { state }) => [
    null,
    ...[5, 4, 3, 2, 1].map((i) => (state === true ? inputs - i : null)),
    null,
    null,
  ],
  infer: (specs, attributes) => {
    const { q, k, v } = featureAttentionInputs(specs, attributes);
    const sizes = featureAttentionSizes(featureAttentionInputs(specs, attributes));
    const { batch, keyHeads, features, valueSize } = sizes;
    const head = [batch, keyHeads];
    const rows = q.shape.slice(0, 3);
    const shapes: Shape[] = [
      [...rows, valueSize],
      [...head, features, valueSize],
      [...head, features],
      head,
      [...head, valueSize],
      head,
      rows,
      k.shape.slice(0, 3),
    ];
    return shapes.map((shape) => ({ shape, dtype: v.dtype }));
  },
  compose: (values, attributes) =>
    composeFeatureAttention(problemOf(featureAttentionInputs(values, attributes), attributes)),
  gradient: ((node, cotangents, needed) => {
    const [y, , , , , , denominators, maxima] = node.outputs as Value[];
    const [given = null, toDenominators] = [cotangents[0], cotangents[6]];
    const dy = given ?? full(y!.shape, 0, "float32");
    let products = sum(multiply(y!, dy), [3]);
    if (toDenominators) products = subtract(products, multiply(denominators!, toDenominators));
    const { map } = node.attributes;
    const projectionCotangent = map === "random" && needed[3] === true;
    const results = apply(
      featureAttentionBackwardOp,
      [...node.inputs, dy, products, denominators!, maxima!],
      { ...node.attributes, projectionCotangent },
    );
    return node.inputs.map((_, i) => (needed[i] === true ? (results[i] ?? null) : null));
  }) satisfies GradientRule,
});

/**
 * The cotangents of q, k, v and (with attribute `projectionCotangent`) of the projection. Inputs are
 * those of `featureAttention`, then those of `FeatureAttentionBackwardInputs`.
 */
export const featureAttentionBackwardOp: Op = makeOp({
  name: "featureAttentionBackward",
  kind: "primitive",
  infer: (specs, { projectionCotangent }) =>
    specs
      .slice(0, projectionCotangent === true ? 4 : 3)
      .map(({ shape }) => ({ shape, dtype: "float32" })),
  compose: (values, attributes) => {
    const inputs = featureAttentionInputs(values, attributes);
    const wantsProjection = attributes.projectionCotangent === true;
    const problem = problemOf(inputs, attributes);
    return composeFeatureAttentionBackward(problem, inputs.backward!, wantsProjection);
  },
});

/** Feature attention of values that fit; see `featureAttentionOp`. */
export function featureAttention(
  inputs: Omit<FeatureAttentionInputs<Value>, "backward">,
  mode: LinearAttentionMode,
  scale: number,
  epsilon: number,
): readonly Value[] {
  const { q, k, v, projection, mask, keyMask, state } = inputs;
  const sums = state && [state.keyValues, state.keys, state.maximum, state.values, state.count];
  return apply(
    featureAttentionOp,
    [q, k, v, projection, mask, keyMask, ...(sums ?? [])].filter((value) => value !== null),
    {
      map: projection === null ? "exponential" : "random",
      ...{ scale, epsilon, mode },
      keyMask: keyMask !== null,
      state: state !== null,
    },
  );
}
