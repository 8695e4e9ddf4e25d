/**
 * The blocks that the definition of feature attention is computed in: what queries and keys bring to
 * a block, and the state that is carried from block to block.
 *
 * Every value has a 1 behind it, so that the sums of weights come with those of weighted values.
 * Features of keys are kept divided by the exponential of the running maximum at the key itself. No
 * exponent is ever above 0.
 */

import type { Value } from "../graph/node.js";
import { add, exp, lessEqual, maximum, minimum, multiply, subtract, where } from "./elementwise.js";
import { keyLogits, queryPowers, rowMaximum, rowSum, type FeatureMap } from "./feature-map.js";
import { detach } from "./identity.js";
import { concatenate } from "./join.js";
import { iota } from "./leaf.js";
import { hide, type LinearAttentionMode, type LinearAttentionSizes } from "./linear-attention.js";
import { matmul } from "./matmul.js";
import { expand, full, narrow, reshape, transposeLast } from "./movement.js";
import { sum } from "./reduce.js";
import { cumulativeMax } from "./scan.js";

/** The lowest finite float32: the maximum of no keys. */
export const lowestMaximum = -3.4028234663852886e38;

/** Queries and keys of a block. */
const blockLength = 128;

/** What is attended, by name. */
export interface FeatureAttentionProblem {
  readonly sizes: LinearAttentionSizes;
  readonly mode: LinearAttentionMode;
  readonly map: FeatureMap;
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  /** The last visible key of each query, int32 [n]; in mode `"mask"`. */
  readonly mask: Value | null;
  /** Which keys take part, bool [b, m]. */
  readonly keyMask: Value | null;
  readonly state: FeatureAttentionSums<Value> | null;
}

/** What is known about the keys so far. */
export interface FeatureAttentionSums<T> {
  /** Σ exp(b_j − M) v_jᵀ, [b, hk, F, e]. */
  readonly keyValues: T;
  /** Σ exp(b_j − M), [b, hk, F]. */
  readonly keys: T;
  /** M, [b, hk]. */
  readonly maximum: T;
  /** Σ v_j, [b, hk, e]. */
  readonly values: T;
  /** The number of keys, [b, hk]. */
  readonly count: T;
}

/** What the backward pass is given besides the inputs of the forward pass. */
export interface FeatureAttentionBackwardInputs<T> {
  /** The cotangent of the output, [b, h, n, e]. */
  readonly dy: T;
  /** y_i · dy_i, [b, h, n]. */
  readonly products: T;
  /** Σ_j w_ij, [b, h, n]; from the forward pass. */
  readonly denominators: T;
  /** The largest maximum of the keys up to each, the state's included, [b, hk, m]; likewise. */
  readonly maxima: T;
}

/** Where the queries or keys of a block start and how many they are; `null` for none. */
export type Range = readonly [start: number, length: number] | null;

export interface Block {
  readonly queries: Range;
  readonly keys: Range;
}

/** The blocks that queries and keys are taken in: a query sees all keys of earlier blocks. */
function blocksOf({ sizes: { queries: n, keys: m }, mode }: FeatureAttentionProblem): Block[] {
  const range = (start: number, length: number): Range => (length > 0 ? [start, length] : null);
  const [allQueries, allKeys] = [range(0, n), range(0, m)];
  if (mode === "mask") return [{ queries: allQueries, keys: allKeys }];
  if (mode === "full") {
    return [
      { queries: null, keys: allKeys },
      { queries: allQueries, keys: null },
    ];
  }
  // Queries before the first key, or keys before the first query; then both side by side.
  const [queriesBefore, keysBefore] = [Math.max(n - m, 0), Math.max(m - n, 0)];
  const blocks: Block[] = [{ queries: range(0, queriesBefore), keys: range(0, keysBefore) }];
  const length = Math.min(n, m);
  for (let at = 0; at < length; at += blockLength) {
    const size = Math.min(blockLength, length - at);
    blocks.push({ queries: [queriesBefore + at, size], keys: [keysBefore + at, size] });
  }
  return blocks;
}

/** The sums over earlier keys, those of weights behind those of values. */
export interface State {
  /** [b, hk, F, e + 1] */
  readonly products: Value;
  /** Without features, [b, hk, 1, e + 1]. */
  readonly totals: Value;
  /** [b, hk, 1, 1] */
  readonly maximum: Value;
}

/** What all blocks are cut out of. */
export interface Whole {
  /** The features of queries but for ε, [b, hk, group, n, F]. */
  readonly powers: Value;
  /** exp(b_j − M_j), [b, hk, m, F]. */
  readonly keys: Value;
  /** M_j, the running maximum, [b, hk, m, 1]. */
  readonly maxima: Value;
  /** Values and 1, or zeros where the key takes no part, [b, hk, m, e + 1]. */
  readonly values: Value;
}

/** The queries of a block; r rows for all heads of a group. */
export interface Rows {
  /** a_i, [b, hk, r, F] */
  readonly features: Value;
  /** ε Σ_f a_if, [b, hk, r, 1] */
  readonly shares: Value;
  /** exp(M − M_i), where M is the maximum before the block, [b, hk, r, 1]. */
  readonly decay: Value;
}

/** The keys of a block. */
export interface Columns {
  readonly keys: Value;
  readonly values: Value;
  /** exp(M_j − M), where M is the maximum after the block, [b, hk, c, 1]. */
  readonly growth: Value;
}

/** What rows see of columns. */
export interface Pairs {
  /** exp(M_j − M_i), [b, hk, r, c] */
  readonly ratios: Value;
  /** `scores` with zeros where the row does not see the column. */
  readonly hide: (scores: Value) => Value;
}

export interface Part {
  readonly block: Block;
  readonly before: State;
  /** The maximum after the block. */
  readonly maximum: Value;
  readonly rows: Rows | null;
  readonly columns: Columns | null;
  readonly pairs: Pairs | null;
}

/** [b, m] of a key mask as a condition on [b, hk, m, …]. */
function takesPart(keyMask: Value): Value {
  const [batch, keys] = keyMask.shape as [number, number];
  return reshape(keyMask, [batch, 1, keys, 1]);
}

/** `x` [b, hk, m, …] with zeros where the key takes no part, even where `x` is not a number. */
export function onlyTaken(x: Value, { keyMask }: FeatureAttentionProblem): Value {
  return keyMask === null ? x : where(takesPart(keyMask), x, 0);
}

function initialState({ sizes, state, map }: FeatureAttentionProblem): State {
  const { batch, keyHeads, keySize, valueSize } = sizes;
  const features = map.projection?.shape[0] ?? keySize;
  const head = [batch, keyHeads];
  if (state === null) {
    return {
      products: full([...head, features, valueSize + 1], 0, "float32"),
      totals: full([...head, 1, valueSize + 1], 0, "float32"),
      maximum: full([...head, 1, 1], lowestMaximum, "float32"),
    };
  }
  const column = (x: Value, rows: number): Value => reshape(x, [...head, rows, 1]);
  const values = reshape(state.values, [...head, 1, valueSize]);
  return {
    products: concatenate([state.keyValues, column(state.keys, features)], 3),
    totals: concatenate([values, column(state.count, 1)], 3),
    maximum: column(state.maximum, 1),
  };
}

function wholeOf(problem: FeatureAttentionProblem, start: State): Whole {
  const { sizes, map, q, k, v, keyMask } = problem;
  const { batch, keyHeads, group, queries, keys } = sizes;
  const powers = queryPowers(q, map);
  const [logits, bounds] = keyLogits(onlyTaken(k, problem), map);
  const taken = keyMask === null ? bounds : where(takesPart(keyMask), bounds, lowestMaximum);
  const maxima = detach(maximum(cumulativeMax(taken, 2)[0], start.maximum));
  const ones = full([batch, keyHeads, keys, 1], 1, "float32");
  return {
    powers: reshape(powers, [batch, keyHeads, group, queries, powers.shape[3]!]),
    // What a key that takes no part is divided by does not matter, as long as it is finite.
    keys: exp(subtract(logits, onlyTaken(maxima, problem))),
    maxima,
    values: onlyTaken(concatenate([v, ones], 3), problem),
  };
}

/** Rows of [b, hk, group, n, c] that a block takes: [b, hk, group · r, c]. */
export function takeRows(x: Value, [start, length]: NonNullable<Range>): Value {
  const [batch, keyHeads, group, , size] = x.shape as [number, number, number, number, number];
  return reshape(narrow(x, 3, start, length), [batch, keyHeads, group * length, size]);
}

/** The rows of all blocks: [b, h, n, size]. */
export function joinRows(
  parts: readonly Value[],
  size: number,
  { sizes }: FeatureAttentionProblem,
): Value {
  const { batch, keyHeads, group, queries } = sizes;
  const shape = [batch, keyHeads * group, queries, size];
  if (parts.length === 0) return full(shape, 0, "float32");
  const apart = parts.map((part) =>
    reshape(part, [batch, keyHeads, group, part.shape[2]! / group, size]),
  );
  return reshape(concatenate(apart, 3), shape);
}

function visibleIn(problem: FeatureAttentionProblem, { queries, keys }: Block): Value {
  const [rows, columns] = [queries![1], keys![1]];
  const last = problem.mode === "mask" ? problem.mask! : iota(rows);
  return lessEqual(iota(columns), reshape(last, [rows, 1]));
}

/** Cuts the rows and columns of a block out, when the sums over earlier ones are known. */
function partOf(problem: FeatureAttentionProblem, whole: Whole, block: Block, before: State): Part {
  const { sizes, map } = problem;
  const { batch, keyHeads, group } = sizes;
  const { queries, keys } = block;
  const cut = (x: Value): Value => narrow(x, 2, ...keys!);
  const maxima = keys && cut(whole.maxima);
  const last = maxima === null ? before.maximum : narrow(maxima, 2, keys![1] - 1, 1);
  const columns = maxima && {
    keys: cut(whole.keys),
    values: cut(whole.values),
    growth: exp(subtract(maxima, last)),
  };
  let [rows, pairs]: [Rows | null, Pairs | null] = [null, null];
  if (queries !== null) {
    const powers = takeRows(whole.powers, queries);
    const features = add(powers, map.epsilon);
    let largest = expand(before.maximum, [batch, keyHeads, group * queries[1], 1]);
    if (maxima !== null) {
      const visible = visibleIn(problem, block);
      const across = transposeLast(maxima);
      const seen = where(visible, across, before.maximum);
      const alike = reshape(rowMaximum(seen), [batch, keyHeads, 1, queries[1], 1]);
      const all = expand(alike, [batch, keyHeads, group, queries[1], 1]);
      largest = reshape(all, largest.shape);
      const blockSizes = { ...sizes, queries: queries[1], keys: keys![1] };
      pairs = {
        ratios: exp(minimum(subtract(across, largest), 0)),
        hide: (scores) => hide(scores, visible, blockSizes),
      };
    }
    rows = {
      features,
      shares: multiply(rowSum(features), map.epsilon),
      decay: exp(subtract(before.maximum, largest)),
    };
  }
  return { block, before, maximum: last, rows, columns, pairs };
}

/** The parts of all blocks, and the state behind the last. */
export function partsOf(problem: FeatureAttentionProblem): {
  whole: Whole;
  parts: Part[];
  last: State;
} {
  let state = initialState(problem);
  const whole = wholeOf(problem, state);
  const parts = blocksOf(problem).map((block) => {
    const part = partOf(problem, whole, block, state);
    const { columns, before, maximum: largest } = part;
    if (columns !== null) {
      const { keys, values, growth } = columns;
      const products = matmul(transposeLast(keys), multiply(growth, values));
      const decay = exp(subtract(before.maximum, largest));
      state = {
        products: add(multiply(decay, before.products), products),
        totals: add(before.totals, reshape(sum(values, [2]), before.totals.shape)),
        maximum: largest,
      };
    }
    return part;
  });
  return { whole, parts, last: state };
}
