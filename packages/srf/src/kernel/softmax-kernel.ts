/** Features whose products estimate the exponential scores of softmax attention. */

import { where, type Tensor } from "@x/tensor";
import {
  check,
  checkChoice,
  checkKeyMask,
  checkNumbers,
  formatShape,
  nonNegative,
} from "@x/tensor/checks";
import { lowest, projectionsOf } from "./projections.js";

/** The order of the axes: `"bhld"` is [batch, heads, length, size], `"blhd"` [batch, length, heads, size]. */
export type HeadLayout = "bhld" | "blhd";

/** Options of {@link softmaxKernel}. */
export interface SoftmaxKernelOptions {
  /** Whether the data are queries; otherwise they are keys. */
  readonly isQuery: boolean;
  /** The order of the axes. Default `"bhld"`. */
  readonly layout?: HeadLayout;
  /** Whether the data are multiplied by d^(−1/4), as the scores are by d^(−1/2). Default true. */
  readonly normalizeData?: boolean;
  /** What is added to every feature, so that none is 0. Default 1e-4. */
  readonly eps?: number;
  /** Keys only: bool [batch, length], false for keys whose features are 0. Default: all true. */
  readonly keyMask?: Tensor | null;
}

/** What {@link softmaxKernel} gives. */
export interface SoftmaxKernelResult {
  /** The features: the shape of the data with F in place of d. */
  readonly features: Tensor;
  /**
   * What was subtracted in the exponents: of queries the largest projection of each, of keys the
   * largest of each batch and head. Of the rank of the data, with sizes of 1 where it is shared.
   */
  readonly maxima: Tensor;
}

const op = "softmaxKernel";

/**
 * Positive features of queries and keys: products of a query's and a key's features estimate
 * `exp(q·k / √d)` up to factors that cancel when weights are divided by their sum.
 *
 * `φ(x) = (exp(P x s − |x|² s² / 2 − M) + eps) / √F` with s = d^(−1/4). The stabiliser M keeps the
 * exponentials at most 1: each query subtracts its own largest projection, and keys share the largest
 * of all positions, M = max P k s. Stabilisers are constants for gradients.
 *
 * Since eps is added after M is subtracted, features of keys depend on all keys. For attention that
 * must not see the future use {@link FastAttention}, whose maximum runs along with the keys.
 *
 * @param data [b, h, n, d], or [b, n, h, d] with layout `"blhd"`
 * @param projectionMatrix random vectors P [F, d], such as {@link simplexRandomMatrix} gives
 * @throws XError `shape` if the data or the mask do not fit, `argument` if eps is negative
 * @example
 * ```ts
 * const projection = simplexRandomMatrix({ rows: 32, features: 8 });
 * const q = softmaxKernel(randn([2, 3, 5, 8]), projection, { isQuery: true });
 * const k = softmaxKernel(randn([2, 3, 7, 8]), projection, { isQuery: false });
 * console.log(q.features.shape, q.maxima.shape); // → [ 2, 3, 5, 32 ] [ 2, 3, 5, 1 ]
 * console.log(k.features.shape, k.maxima.shape); // → [ 2, 3, 7, 32 ] [ 2, 3, 1, 1 ]
 * ```
 * @see Choromanski et al.: Rethinking Attention with Performers (2021)
 */
export function softmaxKernel(
  data: Tensor,
  projectionMatrix: Tensor,
  options: SoftmaxKernelOptions,
): SoftmaxKernelResult {
  const { isQuery, layout = "bhld", normalizeData = true, eps = 1e-4, keyMask = null } = options;
  checkNumbers(op, nonNegative, { eps });
  checkChoice(op, "layout", layout, ["bhld", "blhd"]);
  check(
    data.rank === 4 && projectionMatrix.rank === 2 && data.shape[3] === projectionMatrix.shape[1],
    "shape",
    () =>
      `${op}: the data must have four axes, the last as long as the random vectors, got ${formatShape(data.shape)} and vectors ${formatShape(projectionMatrix.shape)}. Reshape the data or draw other vectors.`,
  );
  const lengthAxis = layout === "bhld" ? 2 : 1;
  const [rows, size] = projectionMatrix.shape as [number, number];
  const ratio = rows ** -0.5;
  const scale = normalizeData ? size ** -0.25 : 1;
  const { exponents, maxima } = projectionsOf(data, projectionMatrix, scale);
  if (isQuery) {
    return { features: exponents.sub(maxima).exp().add(eps).mul(ratio), maxima };
  }
  const isKept = keyMask && alongAxis(keyMask, data, lengthAxis);
  const visible = isKept ? where(isKept, maxima, lowest) : maxima;
  const shared = visible.amax(lengthAxis, { keepdim: true });
  // A hidden key may lie above the maximum of the others: nothing may become infinite.
  const powers = (isKept ? where(isKept, exponents, lowest) : exponents).sub(shared).exp();
  const features = powers.add(eps).mul(ratio);
  return { features: isKept ? where(isKept, features, 0) : features, maxima: shared };
}

/** The mask [b, n] for data with the length at `axis`. */
function alongAxis(mask: Tensor, data: Tensor, axis: number): Tensor {
  checkKeyMask(op, mask, [data.shape[0]!, data.shape[axis]!]);
  const apart = mask.unsqueeze(-1).unsqueeze(-1);
  return axis === 1 ? apart : apart.transpose(1, 2);
}
