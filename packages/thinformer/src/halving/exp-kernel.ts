/** The kernel that halving works on. */

import { einsum, type Tensor } from "@x/tensor";
import { check, formatShapes, sameShape } from "@x/tensor/checks";

/**
 * Checks keys [batch, buckets, entries, heads, size] and values, which differ in the last axis only.
 */
export function checkBuckets(op: string, key: Tensor, value: Tensor): void {
  check(
    key.rank === 5 && value.rank === 5 && sameShape(key.shape.slice(0, 4), value.shape.slice(0, 4)),
    "shape",
    () =>
      `${op}: keys and values must have the axes [batch, buckets, entries, heads, size] and fit each other, got ${formatShapes(key, value)}. Reshape them.`,
  );
}

/**
 * The weighted exponential kernel of every bucket and head:
 * `K[b, a, h, s, r] = exp(k_s · k_r − shift) · (v_s · v_r + bSqd)`.
 *
 * Keys are taken to be scaled by the root of the scale of attention already. With the largest squared
 * norm of the keys as `shift` nothing overflows; halving chooses the same for every shift.
 *
 * @param key [batch, buckets, entries, heads, E]
 * @param value [batch, buckets, entries, heads, D]
 * @param shift broadcastable to [batch, buckets, heads, 1, 1]
 * @param bSqd broadcastable to [batch, buckets, heads, 1, 1]; as a rule the square of the largest
 * number in the values
 * @returns [batch, buckets, heads, entries, entries]
 * @throws XError `shape` if keys and values do not fit each other
 * @example
 * ```ts
 * const x = tensor([0, 1]).reshape([1, 1, 2, 1, 1]);
 * const kernel = expKernel(x, x, tensor(1), tensor(1));
 * console.log((await kernel.data()).map((x) => Math.round(100 * x) / 100).join()); // → 0.37,0.37,0.37,2
 * ```
 */
export function expKernel(key: Tensor, value: Tensor, shift: Tensor, bSqd: Tensor): Tensor {
  checkBuckets("expKernel", key, value);
  const products = (x: Tensor): Tensor => einsum("bashe,barhe->bahsr", x, x);
  return products(key).sub(shift).exp().mul(products(value).add(bSqd));
}
