/**
 * Scaled dot-product attention: softmax(scale · q kᵀ + bias) v over the keys that a query may see.
 *
 * The definitions below hold all scores at once; native kernels go over the keys in blocks and keep
 * only the logarithm of each row's sum, from which the backward pass gets the weights again.
 */

import { check } from "../error.js";
import { apply, makeOp, type Attributes, type Op, type Spec, type Value } from "../graph/node.js";
import {
  broadcastShapes,
  formatShape,
  formatShapes,
  sameShape,
  type Shape,
} from "../tensor/shape.js";
import { add, and, cast, equal, exp, lessEqual, multiply, subtract, where } from "./elementwise.js";
import { iota } from "./leaf.js";
import { matmul } from "./matmul.js";
import { full, reshape, transposeLast } from "./movement.js";
import { dropout, type DrawScalars } from "./random.js";
import { logSumExp, spread, sum } from "./reduce.js";

/** Which keys a query sees, besides a mask, and what happens to the weights. */
export interface AttentionOptions {
  /** Key j is visible to query i iff j ≤ i + (keys − queries): the last query sees every key. */
  readonly causal: boolean;
  /**
   * Keys from `left` before to `right` after the query's own place i + (keys − queries); −1 means
   * without limit. `null` for all keys.
   */
  readonly window: readonly [left: number, right: number] | null;
  readonly scale: number;
  /** Probability with which a weight is dropped. */
  readonly dropout: number;
}

/** The inputs of an attention node by name. */
interface AttentionInputs {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  readonly mask: Value | null;
  readonly bias: Value | null;
  /** What comes after the mask, without the draw. */
  readonly rest: readonly Value[];
  readonly draw: DrawScalars | null;
}

/** Inputs come in the order q, k, v, mask or bias, others, draw (three scalars). */
function named(inputs: readonly Value[], attributes: Attributes): AttentionInputs {
  const [q, k, v, ...others] = inputs as [Value, Value, Value, ...Value[]];
  const mask = attributes.hasMask === true ? others.shift()! : null;
  const bias = attributes.hasBias === true ? others.shift()! : null;
  const hasDraw = (attributes.dropout as number) > 0;
  // A draw is three scalars; the type of `splice` does not count.
  const draw = hasDraw ? (others.splice(-3) as unknown as DrawScalars) : null;
  return { q, k, v, mask, bias, rest: others, draw };
}

/** Query heads are grouped by the key head they use: [b, h, n, d] → [b, hk, h/hk · n, d]. */
function grouped(x: Value, keyHeads: number): Value {
  const [batch, heads, length, size] = x.shape as [number, number, number, number];
  return reshape(x, [batch, keyHeads, (heads / keyHeads) * length, size]);
}

/** Scores [b, h, n, m], −∞ where a query may not see a key. */
function scoresOf({ q, k, mask, bias }: AttentionInputs, attributes: Attributes): Value {
  const [batch, heads, queries] = q.shape as [number, number, number];
  const [, keyHeads, keys] = k.shape as [number, number, number];
  const shape = [batch, heads, queries, keys];
  const products = matmul(grouped(q, keyHeads), transposeLast(k));
  let scores = multiply(reshape(products, shape), attributes.scale as number);
  if (bias !== null) scores = add(scores, bias);
  const visible = visibility(queries, keys, mask, attributes);
  return visible === null ? scores : where(visible, scores, -Infinity);
}

/** Where a query may see a key, broadcastable to the scores; `null` for everywhere. */
function visibility(
  queries: number,
  keys: number,
  mask: Value | null,
  attributes: Attributes,
): Value | null {
  let visible = mask;
  const narrow = (condition: Value): void => {
    visible = visible === null ? condition : and(visible, condition);
  };
  const window = attributes.window as readonly number[] | null;
  const [left, right] = window === null ? [-1, -1] : [window[0]!, window[1]!];
  const latest = attributes.causal === true ? 0 : right;
  if (latest < 0 && left < 0) return visible;
  // Relative to the query's own place, which is the last key for the last query.
  const place = add(reshape(iota(queries), [queries, 1]), keys - queries);
  const key = iota(keys);
  if (latest >= 0) {
    narrow(lessEqual(key, add(place, latest)));
  }
  if (left >= 0) narrow(lessEqual(subtract(place, left), key));
  return visible;
}

/** `weights` with some dropped and the others scaled up. */
function dropped(weights: Value, draw: DrawScalars | null, attributes: Attributes): Value {
  return draw === null ? weights : dropout(weights, attributes.dropout as number, draw);
}

function outputSpecs([q, , v]: readonly Spec[]): readonly [Spec, Spec] {
  const rows = q!.shape.slice(0, 3);
  return [
    { shape: [...rows, v!.shape[3]!], dtype: "float32" },
    { shape: rows, dtype: "float32" },
  ];
}

/**
 * Inputs q [b, h, n, d], k [b, hk, m, d], v [b, hk, m, e] (h a multiple of hk: consecutive query
 * heads share a key head), a mask (bool, true = visible) or a bias (float32) broadcastable to
 * [b, h, n, m], and for dropout a draw (key 0, key 1, counter: uint32 scalars); outputs
 * y [b, h, n, e] and the logarithm of each row's sum [b, h, n]. Rows without a visible key give 0
 * and −∞.
 *
 * Attributes: `causal`, `window` (two numbers or `null`), `scale`, `dropout` (the probability),
 * `hasMask`, `hasBias`. A weight is dropped iff word 0 of the Threefry block (key 0, key 1, position
 * of the weight in [b, h, n, m], counter) is below `dropThreshold(dropout)`.
 */
const attentionOp: Op = makeOp({
  name: "scaledDotProductAttention",
  kind: "primitive",
  infer: (inputs) => outputSpecs(inputs),
  compose: (inputs, attributes) => {
    const parts = named(inputs, attributes);
    const { k, v, draw } = parts;
    const [ySpec, lseSpec] = outputSpecs(inputs);
    if (k.shape[2] === 0) {
      return [full(ySpec.shape, 0, "float32"), full(lseSpec.shape, -Infinity, "float32")];
    }
    const scores = scoresOf(parts, attributes);
    const lse = logSumExp(scores, [3]);
    const weights = dropped(weightsOf(scores, lse), draw, attributes);
    const y = matmul(grouped(weights, k.shape[1]!), v);
    return [reshape(y, ySpec.shape), lse];
  },
  gradient: (node, [g, gLse], needed) => {
    const { attributes } = node;
    const parts = named(node.inputs, attributes);
    const { q, k, v, mask, bias, draw } = parts;
    const [y, lse] = node.outputs as [Value, Value];
    const dy = g ?? full(y.shape, 0, "float32");
    const guides = [mask, bias].filter((value) => value !== null);
    const inputs = [q, k, v, ...guides, y, lse, dy, ...(draw ?? [])];
    const results = apply(attentionBackwardOp, inputs, attributes);
    let [dq, dk] = results as [Value, Value];
    let dBias: Value | null = null;
    if (bias !== null && needed[3] === true) dBias = scoreCotangent(parts, attributes, y, lse, dy);
    if (gLse) {
      // Nobody sees the row sums but the backward pass: this appears in second derivatives only.
      const weights = weightsOf(scoresOf(parts, attributes), lse);
      const share = multiply(weights, spread(gLse, weights.shape, [3]));
      const [moreQ, moreK] = throughScores(share, parts, attributes);
      dq = add(dq, moreQ);
      dk = add(dk, moreK);
      if (dBias !== null) dBias = add(dBias, share);
    }
    const guideCotangents = mask !== null ? [null] : bias !== null ? [dBias] : [];
    return [dq, dk, results[2]!, ...guideCotangents, ...(draw === null ? [] : [null, null, null])];
  },
});

/** The weights before dropout, from the scores and the logarithms of the row sums. */
function weightsOf(scores: Value, lse: Value): Value {
  // A row without visible keys: its scores are −∞, and any finite shift gives weights of 0.
  const shift = where(equal(lse, -Infinity), 0, lse);
  return exp(subtract(scores, spread(shift, scores.shape, [3])));
}

/** The cotangent of the scores: P ∘ (dP − Σ y dy). */
function scoreCotangent(
  parts: AttentionInputs,
  attributes: Attributes,
  y: Value,
  lse: Value,
  dy: Value,
): Value {
  const { k, v, draw } = parts;
  const weights = weightsOf(scoresOf(parts, attributes), lse);
  const products = matmul(grouped(dy, k.shape[1]!), transposeLast(v));
  const toWeights = dropped(reshape(products, weights.shape), draw, attributes);
  const own = sum(multiply(y, dy), [3]);
  return multiply(weights, subtract(toWeights, spread(own, weights.shape, [3])));
}

/** From the cotangent of the scores to those of q and k. */
function throughScores(
  cotangent: Value,
  { q, k }: AttentionInputs,
  attributes: Attributes,
): readonly [Value, Value] {
  const keyHeads = k.shape[1]!;
  const scaled = grouped(multiply(cotangent, attributes.scale as number), keyHeads);
  const dq = reshape(matmul(scaled, k), q.shape);
  return [dq, matmul(transposeLast(scaled), grouped(q, keyHeads))];
}

/**
 * Inputs q, k, v, mask or bias, y, lse, the cotangent dy of y, and for dropout the draw; outputs
 * dq, dk, dv. Attributes as for `scaledDotProductAttention`.
 */
const attentionBackwardOp: Op = makeOp({
  name: "scaledDotProductAttentionBackward",
  kind: "primitive",
  infer: ([q, k, v]) => [q!, k!, v!].map(({ shape }) => ({ shape, dtype: "float32" })),
  compose: (inputs, attributes) => {
    const parts = named(inputs, attributes);
    const { q, k, v, draw } = parts;
    if (k.shape[2] === 0) return [q, k, v].map(({ shape }) => full(shape, 0, "float32"));
    const [y, lse, dy] = parts.rest as [Value, Value, Value];
    const [dq, dk] = throughScores(
      scoreCotangent(parts, attributes, y, lse, dy),
      parts,
      attributes,
    );
    const weights = weightsOf(scoresOf(parts, attributes), lse);
    const keyHeads = k.shape[1]!;
    const kept = dropped(weights, draw, attributes);
    const dv = matmul(transposeLast(grouped(kept, keyHeads)), grouped(dy, keyHeads));
    return [dq, dk, dv];
  },
});

function checkShapes(q: Value, k: Value, v: Value): void {
  const [batch, heads, , size] = q.shape;
  const [keyBatch, keyHeads, keys, keySize] = k.shape;
  const fits =
    [q, k, v].every((x) => x.shape.length === 4) &&
    batch === keyBatch &&
    size === keySize &&
    sameShape(v.shape.slice(0, 3), [keyBatch!, keyHeads!, keys!]) &&
    keyHeads! > 0 &&
    heads! % keyHeads! === 0;
  check(
    fits,
    "shape",
    () =>
      `scaledDotProductAttention: q, k and v must be [batch, heads, length, size] with equal batch, equal q and k size, equal k and v length, and query heads a multiple of key heads, got ${formatShapes(q, k, v)}. Reshape them.`,
  );
}

function checkGuide(name: string, guide: Value, scores: Shape): void {
  const joint = broadcastShapes("scaledDotProductAttention", guide.shape, scores);
  check(
    sameShape(joint, scores),
    "shape",
    () =>
      `scaledDotProductAttention: the ${name} must broadcast to the scores ${formatShape(scores)}, got ${formatShape(guide.shape)}. Reshape it.`,
  );
}

/**
 * Attention of q [b, h, n, d] over k [b, hk, m, d] and v [b, hk, m, e]; gives y [b, h, n, e].
 *
 * `guide` is a bool mask (true = visible) or a float bias, broadcastable to [b, h, n, m].
 */
export function scaledDotProductAttention(
  q: Value,
  k: Value,
  v: Value,
  guide: Value | null,
  draw: DrawScalars | null,
  options: AttentionOptions,
): Value {
  checkShapes(q, k, v);
  const isMask = guide?.dtype === "bool";
  const inputs = [q, k, v].map((x) => cast(x, "float32"));
  if (guide !== null) {
    checkGuide(isMask ? "mask" : "bias", guide, [...q.shape.slice(0, 3), k.shape[2]!]);
    inputs.push(isMask ? guide : cast(guide, "float32"));
  }
  if (draw !== null && options.dropout > 0) inputs.push(...draw);
  return apply(attentionOp, inputs, {
    causal: options.causal,
    window: options.window,
    scale: options.scale,
    dropout: draw === null ? 0 : options.dropout,
    hasMask: isMask,
    hasBias: guide !== null && !isMask,
  })[0]!;
}

/** The weights of attention, [b, h, n, m], before dropout; 0 in rows without a visible key. */
export function attentionWeights(
  q: Value,
  k: Value,
  guide: Value | null,
  options: Omit<AttentionOptions, "dropout">,
): Value {
  checkShapes(q, k, k);
  const isMask = guide?.dtype === "bool";
  const shape = [...q.shape.slice(0, 3), k.shape[2]!];
  if (guide !== null) checkGuide(isMask ? "mask" : "bias", guide, shape);
  if (k.shape[2] === 0) return full(shape, 0, "float32");
  const parts = {
    q: cast(q, "float32"),
    k: cast(k, "float32"),
    v: k,
    mask: isMask ? guide : null,
    bias: isMask || guide === null ? null : cast(guide, "float32"),
    rest: [],
    draw: null,
  };
  const { causal, window, scale } = options;
  const scores = scoresOf(parts, { causal, window, scale });
  return weightsOf(scores, logSumExp(scores, [3]));
}
