/** Causal attention by the algorithms of the originals, in our own operations. */

import { arange, cat, checkpoint, type Tensor } from "@x/tensor";

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
