/** For tests of kernels of linear attention: queries, keys and values of several heads. */

import { fromData, type Tensor } from "@x/tensor";
import { randomNumbers } from "@x/tensor/testing";
import { numbers } from "./like-reference.js";

/** The sizes of an attention, and what queries see. */
export interface Heads {
  readonly mode: "full" | "causal" | "mask";
  readonly batch?: number;
  readonly heads?: number;
  readonly group?: number;
  readonly n: number;
  readonly m?: number;
  readonly d: number;
  readonly e?: number;
  /** Whether the heads are split from [batch, length, heads · size]. */
  readonly split?: boolean;
}

type Three = [q: Tensor, k: Tensor, v: Tensor];

/** Queries, keys and values as a program has them, and as attention takes them, with its options. */
export function headsOf(
  { mode, batch = 1, heads = 1, group = 1, n, m = n, d, e = d, split = false }: Heads,
  seed: number,
): {
  readonly inputs: Three;
  readonly splitHeads: (...inputs: Three) => Three;
  readonly visible: { readonly causal: boolean; readonly mask?: Tensor };
} {
  const vectors = (input: number, count: number, length: number, size: number): Tensor =>
    numbers(
      10 * seed + input,
      split ? [batch, length, count * size] : [batch, count, length, size],
    );
  const own = (x: Tensor, length: number, size: number): Tensor =>
    split ? x.reshape([batch, length, -1, size]).transpose(1, 2) : x;
  const random = randomNumbers(seed);
  const last = Int32Array.from({ length: n }, () => Math.floor(random() * (m + 1)) - 1);
  return {
    inputs: [vectors(0, heads * group, n, d), vectors(1, heads, m, d), vectors(2, heads, m, e)],
    splitHeads: (q, k, v) => [own(q, n, d), own(k, m, d), own(v, m, e)],
    visible: {
      causal: mode === "causal",
      ...(mode === "mask" ? { mask: fromData(last, [n]) } : {}),
    },
  };
}
