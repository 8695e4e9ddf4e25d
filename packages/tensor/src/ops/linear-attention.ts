/**
 * Cumulative linear attention: each query reads the sum of key-value products up to its last
 * visible key, without normalisation.
 *
 * The definition below is quadratic in length; a device's native kernel is linear.
 */

import { check } from "../error.js";
import {
  apply,
  makeOp,
  type Attributes,
  type GradientRule,
  type Op,
  type Spec,
  type Value,
} from "../graph/node.js";
import { formatShape, sameShape, sizeOf, type Shape } from "../tensor/shape.js";
import { add, cast, lessEqual, multiply, where } from "./elementwise.js";
import { constant, iota } from "./leaf.js";
import { matmul } from "./matmul.js";
import { expand, full, reshape, transposeLast } from "./movement.js";

/**
 * Which keys a query sees: all of them (`"full"`), the keys up to its own position when the last
 * query stands at the last key (`"causal"`), or those a mask names (`"mask"`).
 */
export type LinearAttentionMode = "causal" | "full" | "mask";

/** The sizes of one linear attention, read from shapes of [batch, heads, length, size]. */
export interface LinearAttentionSizes {
  readonly batch: number;
  /** Heads of the keys and values, and of the state. */
  readonly keyHeads: number;
  /** Query heads that share a key head; they follow each other. */
  readonly group: number;
  readonly queries: number;
  readonly keys: number;
  /** Size of a query and of a key. */
  readonly keySize: number;
  /** Size of a value. */
  readonly valueSize: number;
}

/** Reads the sizes from the shapes of q, k and v. */
export function linearAttentionSizes(
  q: Pick<Spec, "shape">,
  k: Pick<Spec, "shape">,
  v: Pick<Spec, "shape">,
): LinearAttentionSizes {
  const [batch, heads, queries, keySize] = q.shape as [number, number, number, number];
  const [, keyHeads, keys] = k.shape as [number, number, number];
  const group = keyHeads === 0 ? 0 : heads / keyHeads;
  return { batch, keyHeads, group, queries, keys, keySize, valueSize: v.shape[3]! };
}

/** What a node is given, by name; which of it is there depends on the attributes. */
export interface LinearAttentionInputs<T> {
  /** Queries [b, h, n, d]. */
  readonly q: T;
  /** Keys [b, hk, m, d]. */
  readonly k: T;
  /** Values [b, hk, m, e]. */
  readonly v: T;
  /** The last visible key of each query, int32 [n]; in mode `"mask"`. */
  readonly mask: T | null;
  /** What every sum starts from, [b, hk, d, e]. */
  readonly state: T | null;
  /** Backward: the cotangent of the output. */
  readonly dy: T | null;
  /** Backward: the cotangent of the final state. */
  readonly dfinal: T | null;
}

/** Names the inputs of a node, forward or backward: values here, operands on a device. */
export function linearAttentionInputs<T>(
  inputs: readonly T[],
  { mode, state, final }: Attributes,
): LinearAttentionInputs<T> {
  const [q, k, v, ...rest] = inputs as [T, T, T, ...T[]];
  const next = (present: boolean): T | null => (present ? rest.shift()! : null);
  return {
    q,
    k,
    v,
    mask: next(mode === "mask"),
    state: next(state === true),
    dy: next(final !== undefined),
    dfinal: next(final === true),
  };
}

/** Whether query i sees key j, as bool [n, m]; `null` where every query sees every key. */
function visibleKeys(
  { queries: n, keys: m }: LinearAttentionSizes,
  mode: LinearAttentionMode,
  mask: Value | null,
): Value | null {
  if (mode === "full") return null;
  const last = mode === "mask" ? mask! : add(iota(n), constant(m - n, "int32"));
  return lessEqual(iota(m), reshape(last, [n, 1]));
}

function scaled(x: Value, scale: number): Value {
  return scale === 1 ? x : multiply(x, constant(scale));
}

/** The heads of a group as more rows of one key head: [b, h, n, d] → [b, hk, group · n, d]. */
function joinGroup(x: Value, { batch, keyHeads, group, queries }: LinearAttentionSizes): Value {
  return reshape(x, [batch, keyHeads, group * queries, x.shape[3]!]);
}

/** `scores` of [b, hk, group · n, m] with 0 where the key is not visible. */
export function hide(scores: Value, visible: Value | null, sizes: LinearAttentionSizes): Value {
  if (visible === null) return scores;
  const { batch, keyHeads, group, queries, keys } = sizes;
  const apart = reshape(scores, [batch, keyHeads, group, queries, keys]);
  return reshape(where(visible, apart, constant(0)), scores.shape);
}

/** The sum of all key-value products, and the given state. */
function finalState({ k, v, state }: LinearAttentionInputs<Value>): Value {
  const products = matmul(transposeLast(k), v);
  return state === null ? products : add(products, state);
}

/**
 * Inputs: q [b, h, n, d], k [b, hk, m, d], v [b, hk, m, e], in mode `"mask"` the last visible key of
 * each query as int32 [n] (−1: none), with attribute `state` a state [b, hk, d, e] that is added to
 * every sum. `h` is a multiple of `hk`; query head i reads key head i / (h / hk).
 *
 * Outputs: y [b, h, n, e] with y_i = scale · q_i (state + Σ_{j ≤ last_i} k_j v_jᵀ), and the state
 * with all keys added, [b, hk, d, e]. When causal, last_i = i + m − n.
 */
export const cumulativeLinearAttentionOp: Op = makeOp({
  name: "cumulativeLinearAttention",
  kind: "primitive",
  // The state comes last; decoding updates it where it is.
  inPlace: (inputs, { state }) => [null, state === true ? inputs - 1 : null],
  infer: ([q, k, v]) => {
    const { batch, keyHeads, keySize, valueSize } = linearAttentionSizes(q!, k!, v!);
    return [
      { shape: [...q!.shape.slice(0, 3), valueSize], dtype: "float32" },
      { shape: [batch, keyHeads, keySize, valueSize], dtype: "float32" },
    ];
  },
  compose: (values, attributes) => {
    const inputs = linearAttentionInputs(values, attributes);
    const { q, k, v, mask, state } = inputs;
    const sizes = linearAttentionSizes(q, k, v);
    const rows = scaled(joinGroup(q, sizes), attributes.scale as number);
    const store = finalState(inputs);
    const visible = visibleKeys(sizes, attributes.mode as LinearAttentionMode, mask);
    let result: Value;
    if (visible === null) {
      result = matmul(rows, store);
    } else {
      result = matmul(hide(matmul(rows, transposeLast(k)), visible, sizes), v);
      if (state !== null) result = add(result, matmul(rows, state));
    }
    return [reshape(result, [...q.shape.slice(0, 3), v.shape[3]!]), store];
  },
  gradient: ((node, [outputCotangent, stateCotangent], needed) => {
    const { q, k, v, mask, state } = linearAttentionInputs(node.inputs, node.attributes);
    const dy = outputCotangent ?? full(node.outputs[0]!.shape, 0, "float32");
    const dfinal = stateCotangent ?? null;
    const cotangents = apply(
      cumulativeLinearAttentionBackwardOp,
      [q, k, v, mask, state, dy, dfinal].filter((value) => value !== null),
      { ...node.attributes, final: dfinal !== null },
    );
    const [dq, dk, dv, dstate] = cotangents;
    const results = [dq!, dk!, dv!, ...(mask ? [null] : []), ...(state ? [dstate!] : [])];
    return results.map((value, i) => (needed[i] === true ? value : null));
  }) satisfies GradientRule,
});

/**
 * The cotangents of q, k, v and (with attribute `state`) of the state. Inputs are those of
 * `cumulativeLinearAttention`, then the cotangent of its output, then (with attribute `final`) the
 * one of its final state.
 */
export const cumulativeLinearAttentionBackwardOp: Op = makeOp({
  name: "cumulativeLinearAttentionBackward",
  kind: "primitive",
  infer: ([q, k, v], { state }) => {
    const { batch, keyHeads, keySize, valueSize } = linearAttentionSizes(q!, k!, v!);
    const shapes: Shape[] = [q!.shape, k!.shape, v!.shape];
    if (state === true) shapes.push([batch, keyHeads, keySize, valueSize]);
    return shapes.map((shape) => ({ shape, dtype: "float32" }));
  },
  compose: (values, attributes) => {
    const inputs = linearAttentionInputs(values, attributes);
    const { q, k, v, mask, state, dfinal } = inputs;
    const sizes = linearAttentionSizes(q, k, v);
    const rows = joinGroup(q, sizes);
    const dy = scaled(joinGroup(inputs.dy!, sizes), attributes.scale as number);
    const visible = visibleKeys(sizes, attributes.mode as LinearAttentionMode, mask);
    const queryProducts = matmul(transposeLast(rows), dy);
    let dq: Value;
    let dk: Value;
    let dv: Value;
    if (visible === null) {
      dq = matmul(dy, transposeLast(finalState(inputs)));
      dk = matmul(v, transposeLast(queryProducts));
      dv = matmul(k, queryProducts);
    } else {
      const scores = hide(matmul(rows, transposeLast(k)), visible, sizes);
      const dscores = hide(matmul(dy, transposeLast(v)), visible, sizes);
      dq = matmul(dscores, k);
      if (state !== null) dq = add(dq, matmul(dy, transposeLast(state)));
      dk = matmul(transposeLast(dscores), rows);
      dv = matmul(transposeLast(scores), dy);
    }
    let dstate = queryProducts;
    if (dfinal !== null) {
      dk = add(dk, matmul(v, transposeLast(dfinal)));
      dv = add(dv, matmul(k, dfinal));
      dstate = add(dstate, dfinal);
    }
    return [reshape(dq, q.shape), dk, dv, ...(state ? [dstate] : [])];
  },
});

/** What may be said about a linear attention besides q, k and v. */
export interface LinearAttentionOptions {
  /** Whether a query sees only the keys up to its own position, counted from the end. */
  readonly causal?: boolean;
  /** The last visible key of each query, int32 [n], in any order; −1 where none is. */
  readonly mask?: Value | null;
  /** What is added to every sum of key-value products: [..., hk or h, d, e]. */
  readonly state?: Value | null;
  /** Factor of the output; default 1. */
  readonly scale?: number;
}

/** The results of `cumulativeLinearAttention`. */
export interface LinearAttentionResult {
  /** [..., h, n, e] */
  readonly output: Value;
  /** The state with all keys added; it has the heads of the given state, else those of the keys. */
  readonly state: Value;
}

/** `shape` as [batch, heads, rows, columns]: leading axes are joined, missing ones added. */
function fourAxes(shape: Shape): [number, number, number, number] {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return [sizeOf(shape.slice(0, -3)), shape.at(-3) ?? 1, rows, columns];
}

/** Each head `times` times, one after the other. */
function repeatHeads(x: Value, times: number): Value {
  const [batch, heads, rows, columns] = x.shape as [number, number, number, number];
  const apart = reshape(x, [batch, heads, 1, rows, columns]);
  const repeated = expand(apart, [batch, heads, times, rows, columns]);
  return reshape(repeated, [batch, heads * times, rows, columns]);
}

/**
 * Cumulative linear attention of q [..., h, n, d] over k [..., hk, m, d] and v [..., hk, m, e]; the
 * head axis may be missing. See `cumulativeLinearAttentionOp` for the formula.
 */
export function cumulativeLinearAttention(
  q: Value,
  k: Value,
  v: Value,
  options: LinearAttentionOptions = {},
): LinearAttentionResult {
  const { causal = false, mask = null, state = null, scale = 1 } = options;
  checkShapes(q, k, v, options);
  const outputShape = [...q.shape.slice(0, -1), v.shape.at(-1)!];
  const [queries, keys, values] = [q, k, v].map((x) =>
    reshape(cast(x, "float32"), fourAxes(x.shape)),
  ) as [Value, Value, Value];
  const store = state && reshape(cast(state, "float32"), fourAxes(state.shape));
  // A state of its own for each query head: then each has its own sum as well.
  const repeats = store ? store.shape[1]! / keys.shape[1]! : 1;
  const inputs = [
    queries,
    repeats === 1 ? keys : repeatHeads(keys, repeats),
    repeats === 1 ? values : repeatHeads(values, repeats),
    mask && cast(mask, "int32"),
    store,
  ].filter((value) => value !== null);
  const mode: LinearAttentionMode = mask !== null ? "mask" : causal ? "causal" : "full";
  const attributes = { mode, scale, state: state !== null };
  const [output, final] = apply(cumulativeLinearAttentionOp, inputs, attributes);
  const finalShape = [...k.shape.slice(0, -2), q.shape.at(-1)!, v.shape.at(-1)!];
  return {
    output: reshape(output!, outputShape),
    state: reshape(final!, state ? state.shape : finalShape),
  };
}

function checkShapes(q: Value, k: Value, v: Value, options: LinearAttentionOptions): void {
  const name = "cumulativeLinearAttention";
  const shapes = (): string => [q, k, v].map((x) => formatShape(x.shape)).join(", ");
  const rank = q.shape.length;
  check(
    rank >= 2 && k.shape.length === rank && v.shape.length === rank,
    "shape",
    () =>
      `${name}: queries, keys and values must have the same number of axes, two or more, got ${shapes()}. Reshape them to [..., heads, length, size].`,
  );
  const heads = q.shape.at(-3) ?? 1;
  const keyHeads = k.shape.at(-3) ?? 1;
  check(
    sameShape(q.shape.slice(0, -3), k.shape.slice(0, -3)) &&
      sameShape(k.shape.slice(0, -1), v.shape.slice(0, -1)) &&
      q.shape.at(-1) === k.shape.at(-1) &&
      (keyHeads === heads || (keyHeads > 0 && heads % keyHeads === 0)),
    "shape",
    () =>
      `${name}: expected queries [..., h, n, d], keys [..., hk, m, d] and values [..., hk, m, e] with h a multiple of hk, got ${shapes()}. Check the head sizes and lengths.`,
  );
  const { causal = false, mask = null, state = null, scale = 1 } = options;
  check(
    Number.isFinite(scale),
    "argument",
    () =>
      `${name}: scale must be a finite number, got ${scale}. Pass a number such as 1 / sqrt(d).`,
  );
  check(
    !(causal && mask),
    "argument",
    () =>
      `${name}: a mask already says which keys are visible, got a mask together with causal. Pass one of the two.`,
  );
  if (mask) checkMask(name, mask, q.shape.at(-2)!);
  if (state) {
    const sizes = [q.shape.at(-1)!, v.shape.at(-1)!];
    check(
      sameShape(state.shape, [...k.shape.slice(0, -2), ...sizes]) ||
        sameShape(state.shape, [...q.shape.slice(0, -2), ...sizes]),
      "shape",
      () =>
        `${name}: a state has the shape [..., heads, d, e], got ${formatShape(state.shape)} for ${shapes()}. Start from zeros of that shape.`,
    );
  }
}

/** Checks that a mask is a list of integers, one a query. */
export function checkMask(
  name: string,
  mask: Pick<Spec, "shape" | "dtype">,
  queries: number,
): void {
  check(
    mask.dtype !== "float32" && mask.dtype !== "float16" && mask.dtype !== "bool",
    "dtype",
    () => `${name}: a mask holds key positions as int32, got ${mask.dtype}. Cast it.`,
  );
  check(
    sameShape(mask.shape, [queries]),
    "shape",
    () =>
      `${name}: a mask has one entry a query, got ${formatShape(mask.shape)} for ${queries} queries. Pass int32 [n].`,
  );
}
