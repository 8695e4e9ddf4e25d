/**
 * Feature maps of linear attention: what makes positive features of queries and keys, so that
 * products of features stand for exponential scores.
 *
 * With `"exponential"` features are a softmax of the query and the exponentials of the key. With
 * `"random"` they are those of random projections, whose products estimate exp(s² q·k).
 */

import type { Value } from "../graph/node.js";
import { add, exp, multiply, square, subtract } from "./elementwise.js";
import { detach } from "./identity.js";
import { matmul } from "./matmul.js";
import { reshape, transposeLast } from "./movement.js";
import { max, sum } from "./reduce.js";
import { softmax } from "./softmax.js";
import { sizeOf } from "../tensor/shape.js";

/** A feature map with its parameters. */
export interface FeatureMap {
  /** P [F, d] of `"random"`; `null` for `"exponential"`, whose features are as many as d. */
  readonly projection: Value | null;
  /** s: what queries and keys are multiplied by before they are projected. */
  readonly scale: number;
  /** What is added to every random feature. */
  readonly epsilon: number;
}

/** The sum, or the largest, of each row: [..., n] → [..., 1]. */
function alongRow(x: Value, reduce: (x: Value, axes: readonly number[]) => Value): Value {
  const last = x.shape.length - 1;
  return reshape(reduce(x, [last]), x.shape.with(last, 1));
}

/** Each row's sum, kept as an axis of size 1. */
export const rowSum = (x: Value): Value => alongRow(x, sum);

/** Each row's largest number as a constant for gradients, kept as an axis of size 1. */
export const rowMaximum = (x: Value): Value => detach(alongRow(x, max));

/** P x s and |x|² s² / 2 of rows x. */
function projected(x: Value, projection: Value, scale: number): [Value, Value] {
  const products = multiply(matmul(x, transposeLast(projection)), scale);
  return [products, multiply(rowSum(square(x)), (scale * scale) / 2)];
}

/** The features of queries but for ε: [..., n, d] → [..., n, F], at most 1. */
export function queryPowers(q: Value, { projection, scale }: FeatureMap): Value {
  if (projection === null) return softmax(q, q.shape.length - 1);
  const [products, halfNorm] = projected(q, projection, scale);
  return exp(subtract(subtract(products, halfNorm), rowMaximum(products)));
}

/** The logarithms b of the features of keys, [..., m, F], and a bound of each row, [..., m, 1]. */
export function keyLogits(k: Value, { projection, scale }: FeatureMap): [Value, Value] {
  if (projection === null) return [k, rowMaximum(k)];
  const [products, halfNorm] = projected(k, projection, scale);
  return [subtract(products, halfNorm), rowMaximum(products)];
}

/** From the cotangent of features of queries, which are `powers` and ε, to one of their logarithms. */
export function queryLogitCotangent(powers: Value, cotangent: Value, map: FeatureMap): Value {
  const weighted = multiply(powers, cotangent);
  return map.projection === null
    ? subtract(weighted, multiply(powers, rowSum(weighted)))
    : weighted;
}

/** From the cotangent of logarithms of features to that of the queries or keys x. */
export function rowCotangent(x: Value, cotangent: Value, { projection, scale }: FeatureMap): Value {
  if (projection === null) return cotangent;
  const throughNorm = multiply(x, multiply(rowSum(cotangent), -scale * scale));
  return add(multiply(matmul(cotangent, projection), scale), throughNorm);
}

/** What queries or keys x contribute to the cotangent of the projection. */
export function projectionCotangent(x: Value, cotangent: Value, scale: number): Value {
  const rows = (y: Value): Value =>
    reshape(y, [sizeOf(y.shape.slice(0, -1)), y.shape[y.shape.length - 1]!]);
  return multiply(matmul(transposeLast(rows(cotangent)), rows(x)), scale);
}
