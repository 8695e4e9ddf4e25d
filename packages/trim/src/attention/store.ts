/** The store of key-value products, made for every query: what the original computes with. */

import { arange, type Tensor } from "@x/tensor";

/** Which keys each query sees. */
export type Visibility =
  | { readonly kind: "full" }
  | { readonly kind: "causal" }
  | { readonly kind: "mask"; readonly mask: Tensor };

/** Keys and values with the heads of the queries, and the state they start from. */
export interface StoreInputs {
  /** [..., m, d] */
  readonly key: Tensor;
  /** [..., m, e] */
  readonly value: Tensor;
  /** [..., d, e] */
  readonly cache: Tensor | null;
  readonly visibility: Visibility;
  /** How many queries there are. */
  readonly queries: number;
}

/**
 * For every query, the sum of the key-value products it reads: `S_i = cache + Σ_{j ≤ m_i} k_j v_jᵀ`,
 * [..., n, d, e]. Takes d · e numbers a key.
 */
export function keyValueStore({ key, value, cache, visibility, queries }: StoreInputs): Tensor {
  const sums = key.unsqueeze(-1).mul(value.unsqueeze(-2)).cumsum(-3);
  const rows = rowsOf(sums, visibility, queries);
  return cache === null ? rows : rows.add(cache.unsqueeze(-3));
}

function rowsOf(sums: Tensor, visibility: Visibility, queries: number): Tensor {
  const keys = sums.shape.at(-3)!;
  switch (visibility.kind) {
    case "mask":
      return sums.indexSelect(-3, visibility.mask);
    case "causal":
      return sums.narrow(-3, keys - queries, queries);
    case "full": {
      const shape = [...sums.shape];
      shape[shape.length - 3] = queries;
      return sums.narrow(-3, keys - 1, 1).expand(shape);
    }
  }
}

/** The last query's row of the store, without making the others: [..., d, e]. */
export function lastRow(inputs: StoreInputs): Tensor {
  const { key, value, cache, visibility, queries } = inputs;
  let seen = key;
  if (visibility.kind === "mask") {
    const last = visibility.mask.narrow(0, queries - 1, 1);
    const keys = arange(key.shape.at(-2)!, { dtype: "int32" });
    seen = key.mul(keys.le(last).unsqueeze(-1));
  }
  const row = seen.transpose(-1, -2).matmul(value);
  return cache === null ? row : row.add(cache);
}
