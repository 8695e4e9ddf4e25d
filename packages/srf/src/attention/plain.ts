/** SRF attention as a composition of ordinary operations, chunk by chunk. */

import { arange, cat, where, zeros, type Tensor } from "@x/tensor";
import { lowest, projectionsOf } from "../kernel/projections.js";
import type { SrfState } from "../state/srf-state.js";
import { startOf, type SrfProblem, type SrfResult } from "./problem.js";

/** Keys with their values. */
interface Keys {
  /** Exponents b of the features, [b, hk, m, F]; the lowest number where a key takes no part. */
  readonly exponents: Tensor;
  /** The largest projection of each key, [b, hk, m], likewise. */
  readonly maxima: Tensor;
  /** [b, hk, m, e]; 0 where a key takes no part. */
  readonly values: Tensor;
  /** 1 where a key takes part, 0 where not, [b, hk, m]. */
  readonly taken: Tensor;
}

/** What queries read of keys: the sum of weighted values, and of the weights. */
interface Sums {
  /** `Σ_j w_ij v_j`, [b, hk, g, n, e], where g query heads share a key head. */
  readonly numerators: Tensor;
  /** `Σ_j w_ij`, [b, hk, g, n, 1]. */
  readonly denominators: Tensor;
}

/**
 * `y_i = Σ_j w_ij v_j / Σ_j w_ij` with `w_ij = Σ_f a_if (exp(b_jf − M_i) + ε)`, over the keys j that
 * query i sees; M_i is the largest of their projections.
 *
 * A query reads the keys of earlier chunks in the state, so that time and memory are linear in the
 * length, and those of its own chunk one by one, since every query has a maximum of its own.
 */
export function plainAttention(problem: SrfProblem, chunkSize: number): SrfResult {
  const { query, key, value, epsilon, causal } = problem;
  const features = queryFeatures(problem);
  const keys = keysOf(problem);
  const [queries, count] = [query.shape[2]!, key.shape[2]!];
  // What lies before the first query's own place is seen by all queries, as the state is.
  const early = causal ? count - queries : count;
  let state = problem.state ?? startOf(problem);
  for (const [start, length] of chunks(early, chunkSize)) {
    state = advance(state, part(keys, start, length));
  }
  const outputs: Tensor[] = [];
  for (const [start, length] of chunks(queries, chunkSize)) {
    const chunk = features.narrow(3, start, length);
    if (causal) {
      const own = part(keys, early + start, length);
      outputs.push(quotient(readCausally(chunk, state, own, epsilon)));
      state = advance(state, own);
    } else {
      outputs.push(quotient(readState(chunk, state, epsilon, null)));
    }
  }
  const shape = [...query.shape.slice(0, 3), value.shape[3]!];
  return { output: queries === 0 ? zeros(shape) : cat(outputs, 3).reshape(shape), state };
}

/** Features a of queries, [b, hk, g, n, F]. */
function queryFeatures({ query, key, projection, scale, epsilon }: SrfProblem): Tensor {
  const { exponents, maxima } = projectionsOf(query, projection, scale);
  const features = exponents.sub(maxima).exp().add(epsilon);
  const keyHeads = key.shape[1]!;
  return features.unflatten(1, [keyHeads, query.shape[1]! / keyHeads]);
}

function keysOf({ key, value, projection, scale, keyMask }: SrfProblem): Keys {
  const projections = projectionsOf(key, projection, scale);
  const maxima = projections.maxima.squeeze(-1);
  if (keyMask === null) {
    const { exponents } = projections;
    return { exponents, maxima, values: value, taken: maxima.mul(0).add(1) };
  }
  const taken = keyMask.unsqueeze(1);
  const isTaken = taken.unsqueeze(-1);
  return {
    exponents: where(isTaken, projections.exponents, lowest),
    maxima: where(taken, maxima, lowest),
    values: where(isTaken, value, 0),
    taken: taken.cast("float32").expand(maxima.shape),
  };
}

/** Start and length of each chunk. */
function chunks(count: number, size: number): [start: number, length: number][] {
  return Array.from({ length: Math.ceil(count / size) }, (_, i) => [
    i * size,
    Math.min(size, count - i * size),
  ]);
}

function part({ exponents, maxima, values, taken }: Keys, start: number, length: number): Keys {
  const rows = (x: Tensor): Tensor => x.narrow(2, start, length);
  return {
    exponents: rows(exponents),
    maxima: rows(maxima),
    values: rows(values),
    taken: rows(taken),
  };
}

/** The state after the keys. */
function advance(state: SrfState, { exponents, maxima, values, taken }: Keys): SrfState {
  const maximum = state.maximum.maximum(maxima.amax(-1));
  const decay = state.maximum.sub(maximum).exp().unsqueeze(-1);
  const powers = exponents.sub(maximum.unsqueeze(-1).unsqueeze(-1)).exp().mul(taken.unsqueeze(-1));
  return {
    keyValues: state.keyValues
      .mul(decay.unsqueeze(-1))
      .add(powers.transpose(-1, -2).matmul(values)),
    keys: state.keys.mul(decay).add(powers.sum(-2)),
    maximum,
    values: state.values.add(values.sum(-2)),
    count: state.count.add(taken.sum(-1)),
  };
}

/**
 * What queries with the features a read of the state.
 *
 * @param decay exp(M − M_i) where the maximum of query i is larger than that of the state,
 * [b, hk, 1, n, 1]
 */
function readState(a: Tensor, state: SrfState, epsilon: number, decay: Tensor | null): Sums {
  const scaled = decay === null ? a : a.mul(decay);
  const shares = a.sum(-1, { keepdim: true }).mul(epsilon);
  const { keyValues, keys, values, count } = state;
  const forHeads = (x: Tensor): Tensor => x.unsqueeze(2);
  return {
    numerators: scaled.matmul(forHeads(keyValues)).add(shares.mul(forHeads(values.unsqueeze(-2)))),
    denominators: scaled
      .matmul(forHeads(keys.unsqueeze(-1)))
      .add(shares.mul(forHeads(count.unsqueeze(-1).unsqueeze(-1)))),
  };
}

/** What queries read of the state, and of as many keys that follow, each up to its own place. */
function readCausally(a: Tensor, state: SrfState, keys: Keys, epsilon: number): Sums {
  const { values, taken } = keys;
  const length = a.shape[3]!;
  const place = arange(length, { dtype: "int32" });
  const isVisible = place.le(place.unsqueeze(-1));
  const before = state.maximum.unsqueeze(-1);
  const maxima = before.maximum(keys.maxima.cummax(-1).values);
  // [b, hk, i, j, F]; a later key may lie above the maximum: nothing may become infinite.
  const exponents = keys.exponents.unsqueeze(-3).sub(maxima.unsqueeze(-1).unsqueeze(-1));
  const powers = where(isVisible.unsqueeze(-1), exponents, lowest).exp();
  const products = a.unsqueeze(-2).mul(powers.unsqueeze(2)).sum(-1);
  const shares = a.sum(-1, { keepdim: true }).mul(epsilon);
  const weights = products
    .add(shares)
    .mul(isVisible.logicalAnd(taken.gt(0).unsqueeze(-2)).unsqueeze(2));

  const decay = before.sub(maxima).exp().unsqueeze(-1).unsqueeze(2);
  const past = readState(a, state, epsilon, decay);
  return {
    numerators: past.numerators.add(weights.matmul(values.unsqueeze(2))),
    denominators: past.denominators.add(weights.sum(-1, { keepdim: true })),
  };
}

/** The quotients; 0 where the weights add up to 0. */
function quotient({ numerators, denominators }: Sums): Tensor {
  const isEmpty = denominators.eq(0);
  return numerators.div(denominators.maskedFill(isEmpty, 1)).maskedFill(isEmpty, 0);
}
