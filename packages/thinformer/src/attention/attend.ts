/** Attention over a coreset of the keys. */

import { scaledDotProductAttention, type Generator, type Tensor } from "@x/tensor";
import { chooseCoreset, type Coreset, type CoresetOptions } from "../compression/coreset.js";
import { log4LargestPowerOfFour } from "../compression/thinning.js";

/** What attention over a coreset works with, besides queries, keys and values. */
export interface CoresetAttentionOptions extends CoresetOptions {
  /** Factor of the scores. */
  readonly scale: number;
  /** The probability with which a weight is dropped. */
  readonly dropout: number;
}

/** Attention over a coreset: what the queries read, and what it was made from. */
export interface CoresetAttention {
  readonly output: Tensor;
  readonly coreset: Coreset;
  /** The chosen keys, [batch, heads, outputs, size]. */
  readonly key: Tensor;
  /** Bool [batch, 1, 1, outputs], where a coreset is not full. */
  readonly mask: Tensor | null;
}

/** The rows of [batch, heads, length, size] at places [batch, heads, m]. */
export function rowsAt(x: Tensor, places: Tensor): Tensor {
  const [batch, heads, , size] = x.shape as [number, number, number, number];
  return x.gather(2, places.unsqueeze(-1).expand([batch, heads, places.shape[2]!, size]));
}

/** Attention of [batch, heads, length, size] over the coreset of the keys of each head. */
export function attendToCoreset(
  op: string,
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: CoresetAttentionOptions,
): CoresetAttention {
  const { scale, dropout, generator } = options;
  const log4N = options.log4N ?? log4LargestPowerOfFour(key.shape[2]!);
  const scaled = key.detach().mul(Math.sqrt(scale));
  const coreset = chooseCoreset(op, scaled, value.detach(), log4N, options);
  const [k, v] = [rowsAt(key, coreset.indices), rowsAt(value, coreset.indices)];
  const mask = coreset.mask && coreset.mask.unsqueeze(1).unsqueeze(1);
  const random: { generator?: Generator } = generator ? { generator } : {};
  const output = scaledDotProductAttention(query, k, v, {
    ...{ scale, mask, dropoutP: dropout, enableGqa: true },
    ...random,
  });
  return { output, coreset, key: k, mask };
}
