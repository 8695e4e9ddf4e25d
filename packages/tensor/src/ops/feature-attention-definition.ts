/**
 * What feature attention means, in ordinary operations: block by block, so that time and memory grow
 * linearly with the length.
 *
 * An output is the first e numbers of Σ_j w_ij (v_j, 1) divided by the last. Backward, each block
 * gives the cotangents of its queries from the state before it, and those of its keys and values from
 * a reverse state: Σ exp(M − M_i) a_i g_iᵀ over the queries i behind the block, where g_i is the
 * cotangent of such a sum and M the running maximum between the two.
 */

import type { Value } from "../graph/node.js";
import { add, divide, equal, exp, multiply, negate, subtract, where } from "./elementwise.js";
import {
  type Columns,
  type FeatureAttentionBackwardInputs,
  type FeatureAttentionProblem,
  joinRows,
  onlyTaken,
  type Pairs,
  type Part,
  partsOf,
  type Rows,
  takeRows,
} from "./feature-attention-blocks.js";
import { projectionCotangent, queryLogitCotangent, rowCotangent, rowSum } from "./feature-map.js";
import { concatenate } from "./join.js";
import { matmul } from "./matmul.js";
import { full, narrow, reshape, transposeLast } from "./movement.js";
import { sum } from "./reduce.js";

/** Weights [b, hk, r, c] of the columns that rows see. */
function weightsOf({ features, shares }: Rows, { keys }: Columns, { ratios, hide }: Pairs): Value {
  return hide(add(multiply(matmul(features, transposeLast(keys)), ratios), shares));
}

/** Σ_j w_ij (v_j, 1) of the rows of a part. */
function sumsOf({ rows, columns, pairs, before }: Part): Value[] {
  if (rows === null) return [];
  const { features, shares, decay } = rows;
  const earlier = multiply(decay, matmul(features, before.products));
  const total = add(earlier, multiply(shares, before.totals));
  if (columns === null || pairs === null) return [total];
  return [add(total, matmul(weightsOf(rows, columns, pairs), columns.values))];
}

/** The outputs of feature attention, as its operation lists them. */
export function composeFeatureAttention(problem: FeatureAttentionProblem): readonly Value[] {
  const { batch, keyHeads, group, queries, keys, valueSize } = problem.sizes;
  const { whole, parts, last } = partsOf(problem);
  const sums = joinRows(parts.flatMap(sumsOf), valueSize + 1, problem);
  const denominators = narrow(sums, 3, valueSize, 1);
  const isEmpty = equal(denominators, 0);
  const quotients = divide(narrow(sums, 3, 0, valueSize), where(isEmpty, 1, denominators));
  const { products, totals, maximum: largest } = last;
  const features = products.shape[2]!;
  return [
    where(isEmpty, 0, quotients),
    narrow(products, 3, 0, valueSize),
    reshape(narrow(products, 3, valueSize, 1), [batch, keyHeads, features]),
    reshape(largest, [batch, keyHeads]),
    reshape(narrow(totals, 3, 0, valueSize), [batch, keyHeads, valueSize]),
    reshape(narrow(totals, 3, valueSize, 1), [batch, keyHeads]),
    reshape(denominators, [batch, keyHeads * group, queries]),
    reshape(whole.maxima, [batch, keyHeads, keys]),
  ];
}

/** The cotangents of Σ_j w_ij (v_j, 1): (dy_i, −y_i · dy_i) / Σ_j w_ij, [b, hk, group, n, e + 1]. */
function sumCotangents(
  { sizes }: FeatureAttentionProblem,
  { dy, denominators, products }: FeatureAttentionBackwardInputs<Value>,
): Value {
  const { batch, keyHeads, group, queries, valueSize } = sizes;
  const both = concatenate([dy, negate(reshape(products, [...dy.shape.slice(0, 3), 1]))], 3);
  const divisors = reshape(denominators, [...dy.shape.slice(0, 3), 1]);
  const isEmpty = equal(divisors, 0);
  const cotangents = where(isEmpty, 0, divide(both, where(isEmpty, 1, divisors)));
  return reshape(cotangents, [batch, keyHeads, group, queries, valueSize + 1]);
}

/** The reverse state. */
interface Later {
  /** Σ exp(M − M_i) a_i g_iᵀ, [b, hk, F, e + 1] */
  readonly products: Value;
  /** Σ ε Σ_f a_if g_i, [b, hk, 1, e + 1] */
  readonly totals: Value;
}

/** The cotangents of the features of rows, [b, hk, r, F]: Σ_j (g_i · (v_j, 1)) (exp(b_j − M_i) + ε). */
function featureCotangent(
  { rows, columns, before }: Part,
  cotangents: Value,
  toRatios: Value | null,
  toWeights: Value | null,
  epsilon: number,
): Value {
  const throughProducts = matmul(cotangents, transposeLast(before.products));
  let shared = rowSum(multiply(cotangents, before.totals));
  let direct = multiply(rows!.decay, throughProducts);
  if (toRatios !== null && toWeights !== null) {
    direct = add(direct, matmul(toRatios, columns!.keys));
    shared = add(shared, rowSum(toWeights));
  }
  return add(direct, multiply(shared, epsilon));
}

/**
 * The cotangents of q, k and v and, where `wantsProjection`, of the projection.
 */
export function composeFeatureAttentionBackward(
  problem: FeatureAttentionProblem,
  given: FeatureAttentionBackwardInputs<Value>,
  wantsProjection: boolean,
): readonly Value[] {
  const { sizes, map, q, k } = problem;
  const { whole, parts, last } = partsOf(problem);
  const sumCotangent = sumCotangents(problem, given);
  let later: Later = {
    products: full(last.products.shape, 0, "float32"),
    totals: full(last.totals.shape, 0, "float32"),
  };
  const [toFeatures, toLogits, toValues]: [Value[], Value[], Value[]] = [[], [], []];
  for (const part of parts.reverse()) {
    const { block, before, rows, columns, pairs } = part;
    const cotangents = block.queries && takeRows(sumCotangent, block.queries);
    let [toWeights, toRatios]: [Value | null, Value | null] = [null, null];
    if (cotangents && columns && pairs) {
      toWeights = pairs.hide(matmul(cotangents, transposeLast(columns.values)));
      toRatios = multiply(toWeights, pairs.ratios);
    }
    if (columns) {
      const { keys, values, growth } = columns;
      let own = multiply(growth, matmul(values, transposeLast(later.products)));
      let toValue = add(multiply(growth, matmul(keys, later.products)), later.totals);
      if (rows && pairs && cotangents && toRatios) {
        own = add(own, matmul(transposeLast(toRatios), rows.features));
        const weights = weightsOf(rows, columns, pairs);
        toValue = add(toValue, matmul(transposeLast(weights), cotangents));
      }
      toLogits.unshift(multiply(keys, own));
      toValues.unshift(toValue);
    }
    const decay = exp(subtract(before.maximum, part.maximum));
    later = { ...later, products: multiply(decay, later.products) };
    if (rows && cotangents) {
      toFeatures.unshift(featureCotangent(part, cotangents, toRatios, toWeights, map.epsilon));
      const products = matmul(transposeLast(rows.features), multiply(rows.decay, cotangents));
      const totals = sum(multiply(rows.shares, cotangents), [2]);
      later = {
        products: add(later.products, products),
        totals: add(later.totals, reshape(totals, later.totals.shape)),
      };
    }
  }
  const features = last.products.shape[2]!;
  const powers = reshape(whole.powers, [...q.shape.slice(0, 3), features]);
  const throughFeatures = joinRows(toFeatures, features, problem);
  const queryLogits = queryLogitCotangent(powers, throughFeatures, map);
  const keyLogits = joinKeys(toLogits, whole.keys);
  const taken = onlyTaken(k, problem);
  const valueCotangent = narrow(joinKeys(toValues, whole.values), 3, 0, sizes.valueSize);
  const results = [
    rowCotangent(q, queryLogits, map),
    rowCotangent(taken, keyLogits, map),
    onlyTaken(valueCotangent, problem),
  ];
  if (!wantsProjection) return results;
  const throughQueries = projectionCotangent(q, queryLogits, map.scale);
  return [...results, add(throughQueries, projectionCotangent(taken, keyLogits, map.scale))];
}

/** The keys of all blocks together; as many as `like` has. */
function joinKeys(parts: readonly Value[], like: Value): Value {
  return parts.length === 0 ? full(like.shape, 0, "float32") : concatenate(parts, 2);
}
