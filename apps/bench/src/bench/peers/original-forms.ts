/** Causal attention by the algorithms of the originals, in our own operations. */

import { arange, cat, checkpoint, rand, where, zeros, type Tensor } from "@x/tensor";

/** Attention over [1, heads, length, dim]. */
export type Attend = (q: Tensor, k: Tensor, v: Tensor) => Tensor;

/** trim-transformer: the sum of key-value products after every token, all of them in memory. */
export const trimOriginal: Attend = (q, k, v) => {
  const store = k.unsqueeze(-1).mul(v.unsqueeze(-2)).cumsum(-3);
  return q
    .unsqueeze(-2)
    .matmul(store)
    .squeeze(-2)
    .mul(1 / Math.sqrt(q.shape[3]!));
};

const queriesAtOnce = 256;

/**
 * srf-attention: every query's features with every key's, 256 queries at a time. Time is quadratic;
 * what is quadratic is computed again for gradients rather than kept.
 */
export function srfOriginal(projection: Tensor): Attend {
  const epsilon = 1e-4;
  const features = (x: Tensor, axes: readonly number[]): Tensor => {
    const scaled = x.mul(x.shape[3]! ** -0.25);
    const projected = scaled.matmul(projection.transpose(0, 1));
    const norm = scaled.square().sum(-1, { keepdim: true }).mul(0.5);
    const largest = projected.detach().amax(axes, { keepdim: true });
    return projected.sub(norm).sub(largest).exp().add(epsilon);
  };
  const chunk = (q: Tensor, k: Tensor, v: Tensor, visible: Tensor): Tensor => {
    const scores = q.matmul(k.transpose(-1, -2)).mul(visible);
    return scores.matmul(v).div(scores.sum(-1, { keepdim: true }));
  };
  return (q, k, v) => {
    const length = q.shape[2]!;
    const [queries, keys] = [features(q, [-1]), features(k, [-2, -1])];
    const parts: Tensor[] = [];
    for (let start = 0; start < length; start += queriesAtOnce) {
      const count = Math.min(queriesAtOnce, length - start);
      const places = arange(count, { dtype: "int32" }).add(start).unsqueeze(-1);
      const visible = arange(length, { dtype: "int32" }).le(places).cast("float32");
      const part = queries.narrow(2, start, count);
      parts.push(checkpoint(chunk, part, keys, v, visible));
    }
    return cat(parts, 2);
  };
}

/** The linear attention transformer: sums of buckets of 64, so that nobody sees the own bucket. */
export const linearOriginal: Attend = (q, k, v) => {
  const bucket = 64;
  const dim = q.shape[3]!;
  const [queries, keys, values] = [q.softmax(-1).mul(dim ** -0.5), k.exp(), v].map((x) =>
    x.unflatten(2, [-1, bucket]),
  ) as [Tensor, Tensor, Tensor];
  /** Sums over the buckets before each. */
  const before = (x: Tensor): Tensor => x.cumsum(2).sub(x);
  const sums = before(keys.sum(-2)).unsqueeze(-1);
  const store = before(keys.transpose(-1, -2).matmul(values));
  const total = queries.matmul(sums).clamp(1e-3);
  return queries.matmul(store).div(total).flatten(2, 3);
};

const oversampling = 2;
const failureProbability = 0.5;

/**
 * One halving of buckets [1, heads, buckets, size, dim]: of each pair of neighbours one is kept, pair
 * after pair, such that the sums over the kernel stay as they are. Gives 0 or 1 for each pair.
 */
function halve(keys: Tensor, values: Tensor, probability: number): Tensor {
  const size = keys.shape[3]!;
  const shift = keys.square().sum(-1).amax([2, 3], { keepdim: true }).unsqueeze(-1);
  const bound = values.abs().amax([2, 3, 4], { keepdim: true }).square();
  const products = (x: Tensor): Tensor => x.matmul(x.transpose(-1, -2));
  const kernel = products(keys).sub(shift).exp().mul(products(values).add(bound));
  const rows = kernel.unflatten(3, [-1, 2]);
  const columns = rows.select(4, 0).sub(rows.select(4, 1)).unflatten(4, [-1, 2]);
  const pairs = columns.select(5, 0).sub(columns.select(5, 1));
  const lengths = pairs.diagonal(0, -2, -1).clamp(0).sqrt();
  const limits = lengths.mul(lengths.cummax(-1).values);
  const width = 0.5 + Math.log((2 * size) / (probability * size ** 2));
  const thresholds = rand(limits.shape).mul(2).sub(1).mul(width).mul(limits);
  let sums = pairs.select(-2, 0);
  const swaps: Tensor[] = [zeros(sums.select(-1, 0).shape, { dtype: "bool" })];
  for (let i = 1; i < size / 2; i++) {
    const swap = thresholds.select(-1, i).le(sums.select(-1, i));
    const row = pairs.select(-2, i);
    sums = sums.add(where(swap.unsqueeze(-1), row.neg(), row));
    swaps.push(swap);
  }
  return cat(
    swaps.map((swap) => swap.unsqueeze(-1)),
    -1,
  ).cast("int32");
}

/** thinformer: exact attention over √n · 4 keys that halving in growing buckets leaves; not causal. */
export const thinformerOriginal: Attend = (q, k, v) => {
  const [, heads, length, dim] = k.shape as [number, number, number, number];
  const rounds = Math.round(Math.log2(length) / 2) - oversampling;
  const keys = k.detach().mul(dim ** -0.25);
  const values = v.detach();
  let size = 4 ** (oversampling + 1);
  const probability = failureProbability / (size * rounds * length);
  let chosen = arange(length, { dtype: "int32" }).expand([1, heads, length]);
  const take = (x: Tensor): Tensor =>
    x.gather(2, chosen.unsqueeze(-1).expand([...chosen.shape, dim]));
  for (let round = 0; round < rounds; round++) {
    const [ownKeys, ownValues] = [keys, values].map((x) => take(x).unflatten(2, [-1, size]));
    const swaps = halve(ownKeys!, ownValues!, probability);
    const pairs = chosen.unflatten(2, [-1, size / 2, 2]);
    chosen = pairs.gather(-1, swaps.unsqueeze(-1)).squeeze(-1).flatten(2, 3);
    size *= 2;
  }
  const scores = q.matmul(take(k).transpose(-1, -2)).mul(dim ** -0.5);
  return scores.softmax(-1).matmul(take(v));
};
