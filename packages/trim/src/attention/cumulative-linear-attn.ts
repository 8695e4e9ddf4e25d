/** Cumulative linear attention as a function of queries, keys and values. */

import { cumulativeLinearAttention, dropout, type DType, type Shape, type Tensor } from "@x/tensor";
import { check, formatShape, sameShape } from "@x/tensor/checks";
import { isReference, type Compatibility } from "./compatibility.js";
import { checkedMask, type CumulativeMask } from "./mask.js";
import { keyValueStore, lastRow, type StoreInputs, type Visibility } from "./store.js";

/** Options of {@link cumulativeLinearAttn}. */
export interface CumulativeLinearAttnOptions {
  /**
   * The last key that each query sees: integers of shape [n] with 0 ≤ m_i < n_key, in any order.
   * Numbers that are at hand are checked; others are not. Not together with `isCausal`.
   */
  readonly mask?: CumulativeMask | null;
  /** Whether query i sees the keys up to i + n_key − n_query only. Default false. */
  readonly isCausal?: boolean;
  /** Factor of the output. Default 1 / √d. */
  readonly scale?: number | null;
  /**
   * Allows fewer key and value heads than query heads; consecutive query heads share one. Default
   * false.
   */
  readonly enableGqa?: boolean;
  /**
   * The sum of products to start from, such as the `state` of an earlier call: [..., d, e] or, as
   * in the original, [..., 1, d, e].
   */
  readonly kvCache?: Tensor | null;
  /**
   * The probability of dropout, from 0 to 1. Default 0. It falls on what each query reads, row by
   * row of the store, so that the state stays whole.
   */
  readonly dropoutP?: number;
  /** What drops, in place of `dropoutP`: for recorded draws. */
  readonly dropout?: (x: Tensor) => Tensor;
  /**
   * Whether the store of every query is returned: [..., n, d, e], that is d · e numbers a query,
   * quadratic in the head size. Default false.
   */
  readonly needStore?: boolean;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** The results of {@link cumulativeLinearAttn}. */
export interface CumulativeLinearAttnResult {
  /** What the queries read, [..., h, n, e]. */
  readonly output: Tensor;
  /**
   * The sum over all keys, with what was cached: [..., hk, d, e], or with the heads of `kvCache`.
   * Under `compat: "reference"` the sum that the last query reads, with the heads of the queries.
   */
  readonly state: Tensor;
  /**
   * The sum that each query reads, [..., h, n, d, e]; `null` unless `needStore` is set or `compat`
   * is `"reference"`.
   */
  readonly keyValueStore: Tensor | null;
}

const op = "cumulativeLinearAttn";

/**
 * Cumulative linear attention: each query reads the sum of the key-value products up to its last
 * visible key, without normalisation,
 *
 * `y_i = scale · q_i S_i` with `S_i = kvCache + Σ_{j ≤ m_i} k_j v_jᵀ`.
 *
 * `m_i` is `mask[i]`; where `isCausal` is set i + n_key − n_query, so that the last query stands at
 * the last key; otherwise the last key. Time and memory are linear in the length for every mask, and
 * the d × e sums are not kept for each query. Passing `state` on as `kvCache` continues a sequence:
 * a causal call on the whole equals causal calls on its parts, one after the other.
 *
 * Re-creates `cumulative_linear_attn` of the Python package trim-transformer; the linear form is that
 * of Katharopoulos et al., "Transformers are RNNs" (2020), without feature map and normaliser.
 *
 * @param query [..., h, n, d], float32 or float16; the head axis h may be missing
 * @param key [..., h, m, d], or [..., hk, m, d] with h a multiple of hk where `enableGqa` is set
 * @param value [..., h, m, e], or [..., hk, m, e]
 * @throws XError `shape` or `dtype` if the tensors do not fit each other; `argument` if mask and
 * isCausal are given together, a mask is out of range, isCausal is set with more queries than keys,
 * or scale or dropoutP is out of range
 * @example
 * ```ts
 * const [q, k, v] = [tensor([[1], [1], [1]]), tensor([[1], [2], [3]]), tensor([[1], [1], [10]])];
 * const { output, state } = cumulativeLinearAttn(q, k, v, { isCausal: true, scale: 1 });
 * console.log(await output.toArray()); // → [ [ 1 ], [ 3 ], [ 33 ] ]
 *
 * const next = cumulativeLinearAttn(q, k, v, { mask: [2, 0, 1], scale: 1, kvCache: state });
 * console.log(await next.output.toArray()); // → [ [ 66 ], [ 34 ], [ 36 ] ]
 * ```
 */
export function cumulativeLinearAttn(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: CumulativeLinearAttnOptions = {},
): CumulativeLinearAttnResult {
  checkTensors(query, key, value, options.enableGqa === true);
  const reference = isReference(op, options.compat);
  const scale = scaleOf(query, options.scale ?? null);
  const drop = dropOf(options);
  const visibility = visibilityOf(query, key, options);
  const cache = cacheOf(query, key, value, options.kvCache ?? null);

  const attend = (q: Tensor): { output: Tensor; state: Tensor } =>
    cumulativeLinearAttention(q, key, value, {
      scale,
      causal: visibility.kind === "causal",
      ...(visibility.kind === "mask" && { mask: visibility.mask }),
      ...(cache && { state: cache }),
    });
  if (!reference) {
    const { output, state } = attend(drop === null ? query : drop(query));
    const store = options.needStore === true ? storeOf(query, key, value, cache, visibility) : null;
    return { output, state, keyValueStore: store };
  }

  if (drop === null) {
    const inputs = storeInputs(query, key, value, cache, visibility);
    const store = keyValueStore(inputs);
    return { output: attend(query).output, state: lastRow(inputs), keyValueStore: store };
  }
  const store = drop(storeOf(query, key, value, cache, visibility));
  const output = query.unsqueeze(-2).matmul(store).squeeze(-2).mul(scale);
  return { output, state: store.select(-3, -1), keyValueStore: store };
}

function storeOf(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  cache: Tensor | null,
  visibility: Visibility,
): Tensor {
  return keyValueStore(storeInputs(query, key, value, cache, visibility));
}

/** Keys, values and cache with the heads of the queries. */
function storeInputs(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  cache: Tensor | null,
  visibility: Visibility,
): StoreInputs {
  const heads = query.shape.at(-3) ?? 1;
  const withAllHeads = (x: Tensor): Tensor => {
    const times = heads / (x.shape.at(-3) ?? 1);
    return times === 1 ? x : x.repeatInterleave(times, -3);
  };
  return {
    key: withAllHeads(key),
    value: withAllHeads(value),
    cache: cache && withAllHeads(cache),
    visibility,
    queries: query.shape.at(-2)!,
  };
}

const floats: readonly DType[] = ["float32", "float16"];

function checkTensors(query: Tensor, key: Tensor, value: Tensor, enableGqa: boolean): void {
  const shapes = (): string =>
    [query, key, value].map(({ shape }) => formatShape(shape)).join(", ");
  for (const { dtype } of [query, key, value]) {
    check(
      floats.includes(dtype),
      "dtype",
      () => `${op}: queries, keys and values must be float32 or float16, got ${dtype}. Cast them.`,
    );
  }
  const { rank } = query;
  check(
    rank >= 2 && key.rank === rank && value.rank === rank,
    "shape",
    () =>
      `${op}: queries, keys and values must have the same number of axes, at least [length, size], got ${shapes()}. Reshape them.`,
  );
  const [heads, keyHeads] = [query.shape.at(-3) ?? 1, key.shape.at(-3) ?? 1];
  check(
    sameShape(query.shape.slice(0, -3), key.shape.slice(0, -3)) &&
      sameShape(key.shape.slice(0, -1), value.shape.slice(0, -1)) &&
      query.shape.at(-1) === key.shape.at(-1),
    "shape",
    () =>
      `${op}: expected queries [..., h, n, d], keys [..., h, m, d] and values [..., h, m, e], got ${shapes()}. Match the leading axes, the lengths and the head sizes.`,
  );
  check(enableGqa ? keyHeads > 0 && heads % keyHeads === 0 : heads === keyHeads, "shape", () =>
    enableGqa
      ? `${op}: the number of query heads must be a multiple of the number of key heads, got ${heads} and ${keyHeads}. Change one of them.`
      : `${op}: queries and keys must have the same number of heads, got ${heads} and ${keyHeads}. Set enableGqa to share key heads.`,
  );
}

function scaleOf(query: Tensor, scale: number | null): number {
  if (scale === null) return 1 / Math.sqrt(query.shape.at(-1)!);
  check(
    Number.isFinite(scale),
    "argument",
    () =>
      `${op}: scale must be a finite number, got ${String(scale)}. Leave it out for 1 / sqrt(d).`,
  );
  return scale;
}

function dropOf(options: CumulativeLinearAttnOptions): ((x: Tensor) => Tensor) | null {
  const { dropoutP = 0 } = options;
  check(
    typeof dropoutP === "number" && dropoutP >= 0 && dropoutP <= 1,
    "argument",
    () => `${op}: dropoutP must lie between 0 and 1, got ${String(dropoutP)}. Correct it.`,
  );
  if (options.dropout) return options.dropout;
  return dropoutP === 0 ? null : (x) => dropout(x, { p: dropoutP });
}

function visibilityOf(
  query: Tensor,
  key: Tensor,
  options: CumulativeLinearAttnOptions,
): Visibility {
  const { mask = null, isCausal = false } = options;
  const [queries, keys] = [query.shape.at(-2)!, key.shape.at(-2)!];
  check(
    mask === null || !isCausal,
    "argument",
    () =>
      `${op}: either a mask or isCausal says which keys are visible, got both. Leave one of them out.`,
  );
  if (mask !== null) return { kind: "mask", mask: checkedMask(op, mask, queries, keys) };
  if (!isCausal) return { kind: "full" };
  check(
    queries <= keys,
    "argument",
    () =>
      `${op}: a causal call needs a key for every query, got ${queries} queries and ${keys} keys. Pass as many keys as queries, or more.`,
  );
  return { kind: "causal" };
}

/** The cache as [..., d, e]. */
function cacheOf(query: Tensor, key: Tensor, value: Tensor, cache: Tensor | null): Tensor | null {
  if (cache === null) return null;
  const sizes = [query.shape.at(-1)!, value.shape.at(-1)!];
  const ofQueries: Shape = [...query.shape.slice(0, -2), ...sizes];
  const ofKeys: Shape = [...key.shape.slice(0, -2), ...sizes];
  const hasQueryAxis = cache.rank === query.rank + 1 && cache.shape.at(-3) === 1;
  const { shape } = hasQueryAxis ? cache.squeeze(-3) : cache;
  check(
    floats.includes(cache.dtype),
    "dtype",
    () => `${op}: kvCache must be float32 or float16, got ${cache.dtype}. Cast it.`,
  );
  check(
    sameShape(shape, ofQueries) || sameShape(shape, ofKeys),
    "shape",
    () =>
      `${op}: kvCache must have shape ${formatShape(ofKeys)}, got ${formatShape(cache.shape)}. Pass the state of a call with the same heads and sizes.`,
  );
  return hasQueryAxis ? cache.squeeze(-3) : cache;
}
