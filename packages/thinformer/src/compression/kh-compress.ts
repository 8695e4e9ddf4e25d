/** KH-Compress: a coreset of keys and values. */

import type { Tensor } from "@x/tensor";
import { check, formatShapes, sameShape } from "@x/tensor/checks";
import { chooseCoreset, type CoresetOptions } from "./coreset.js";
import { log4LargestPowerOfFour } from "./thinning.js";

/** The results of {@link khCompress}. */
export interface KhCompressResult {
  /** The chosen keys, [batch, outputs, heads, E]. */
  readonly key: Tensor;
  /** Their values, [batch, outputs, heads, D]. */
  readonly value: Tensor;
  /** Where they stood, int32 [batch, outputs, heads]; 0 where there is none. */
  readonly indices: Tensor;
  /**
   * Bool [batch, outputs]: false behind the last key of a sequence that has fewer, because of its key
   * mask. `null` without a key mask.
   */
  readonly mask: Tensor | null;
  /** What each round chose: positions in its buckets, int32 [batch, buckets, heads, bucket / 2]. */
  readonly coresets: readonly Tensor[];
}

/**
 * KH-Compress(g): of every head the min(n, 2^g √n) keys that stand best for all, with their values,
 * where n is the largest power of four for which there are keys.
 *
 * Every ⌊S / n⌋-th key is taken; the n keys are cut into buckets of 4^(g+1), and of each half is chosen
 * by kernel halving with the kernel `exp(k · k′) (v · v′ + c)`, c the square of the largest number in
 * the values of the head. Then four buckets become one, and so on, until one bucket is left. Time is
 * about n · 4^(g+1) · log₄ n products, memory is linear. Gradients flow through what was chosen.
 *
 * @param key [batch, S, heads, E], scaled by the root of the scale of attention
 * @param value [batch, S, heads, D]
 * @throws XError `shape` if the tensors do not fit each other; `argument` if g, delta or log4N is out
 * of range, or draws are not for each round
 * @example
 * ```ts
 * const [key, value] = [randn([2, 300, 4, 8]), randn([2, 300, 4, 16])];
 * const { key: chosen, indices } = khCompress(key, value, { g: 1 });
 * console.log(chosen.shape, indices.shape); // → [ 2, 32, 4, 8 ] [ 2, 32, 4 ]
 * ```
 *
 * @see Shetty, Dwivedi, Mackey: Distribution Compression in Near-linear Time (2022)
 * @see Carrell, Gong, Shetty, Dwivedi, Mackey: Low-Rank Thinning (2025)
 */
export function khCompress(
  key: Tensor,
  value: Tensor,
  options: CoresetOptions = {},
): KhCompressResult {
  const op = "khCompress";
  check(
    key.rank === 4 && value.rank === 4 && sameShape(key.shape.slice(0, 3), value.shape.slice(0, 3)),
    "shape",
    () =>
      `${op}: keys and values must have the axes [batch, length, heads, size] and fit each other, got ${formatShapes(key, value)}. Reshape them.`,
  );
  const log4N = options.log4N ?? log4LargestPowerOfFour(key.shape[1]!);
  const forHeads = (x: Tensor): Tensor => x.transpose(1, 2);
  const coreset = chooseCoreset(op, forHeads(key), forHeads(value), log4N, options);
  const { indices, mask, rounds } = coreset;
  const [batch, heads, outputs] = indices.shape as [number, number, number];
  const index = forHeads(indices);
  const chosen = (x: Tensor): Tensor =>
    x.gather(1, index.unsqueeze(-1).expand([batch, outputs, heads, x.shape[3]!]));
  return { key: chosen(key), value: chosen(value), indices: index, mask, coresets: rounds };
}
