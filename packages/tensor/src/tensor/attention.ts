/** Attention. */

import { check } from "../error.js";
import * as attention from "../ops/attention.js";
import { drawScalars } from "../ops/random.js";
import { getDefaultGenerator, type Generator } from "../random/generator.js";
import { checkNumbers, finite, probability } from "./arguments.js";
import { formatShapes, formatShape, sizeOf, type Shape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** Which keys a query sees. */
export interface VisibilityOptions {
  /**
   * A bool tensor, true where a query may see a key, or a float tensor that is added to the scores;
   * broadcastable to [..., queries, keys].
   */
  readonly mask?: Tensor | null;
  /** The same as `mask`. */
  readonly attnMask?: Tensor | null;
  /**
   * Query i sees key j iff j ≤ i + (keys − queries): the last query sees every key. May be combined
   * with a mask. Default false.
   */
  readonly isCausal?: boolean;
  /**
   * How many keys before and after its own place (as for `isCausal`) a query sees; −1 for no limit.
   */
  readonly window?: readonly [left: number, right: number] | null;
  /** Factor of the scores. Default 1 / √size. */
  readonly scale?: number;
  /**
   * Allows more query heads than key heads; consecutive query heads share a key head. Default false.
   */
  readonly enableGqa?: boolean;
}

/** Options of `scaledDotProductAttention`. */
export interface AttentionOptions extends VisibilityOptions {
  /** The probability with which a weight is set to 0. Default 0. */
  readonly dropoutP?: number;
  /** Where dropout's random numbers come from; the default generator unless given. */
  readonly generator?: Generator;
}

/** Everything in the form [batch, heads, length, size] that the operation works on. */
interface Arranged {
  readonly tensors: readonly Tensor[];
  readonly guide: Tensor | null;
  /** The leading axes of the result. */
  readonly leading: Shape;
}

function arrange(op: string, tensors: readonly Tensor[], options: VisibilityOptions): Arranged {
  const [q, k] = tensors as [Tensor, Tensor];
  const { rank } = q;
  check(
    rank >= 2 && tensors.every((tensor) => tensor.rank === rank),
    "shape",
    () =>
      `${op}: all tensors must have the same number of axes, at least [length, size], got ${formatShapes(...tensors)}. Reshape them.`,
  );
  check(
    !options.mask || !options.attnMask,
    "argument",
    () => `${op}: mask and attnMask are the same, got both. Pass one of them.`,
  );
  const isGrouped = rank >= 3 && q.shape.at(-3) !== k.shape.at(-3);
  check(
    !isGrouped || options.enableGqa === true,
    "shape",
    () =>
      `${op}: query and key heads must be equally many unless enableGqa is set, got ${formatShape(q.shape)} and ${formatShape(k.shape)}. Set enableGqa or repeat the keys.`,
  );
  const leading = q.shape.slice(0, -2);
  const guide = options.mask ?? options.attnMask ?? null;
  if (rank === 4) return { tensors, guide, leading };
  const toFour = (tensor: Tensor): Tensor => {
    const before = tensor.shape.slice(0, -2);
    const batch = sizeOf(before.slice(0, -1));
    return tensor.reshape([batch, before.at(-1) ?? 1, ...tensor.shape.slice(-2)]);
  };
  return {
    tensors: tensors.map(toFour),
    guide: guide === null ? null : guideOf(guide, q, k, toFour),
    leading,
  };
}

function guideOf(guide: Tensor, q: Tensor, k: Tensor, toFour: (tensor: Tensor) => Tensor): Tensor {
  if (guide.rank <= 2) return guide;
  return toFour(guide.expand([...q.shape.slice(0, -1), k.shape.at(-2)!]));
}

function settings(
  op: string,
  q: Tensor,
  options: VisibilityOptions,
): Omit<attention.AttentionOptions, "dropout"> {
  const { isCausal = false, window = null, scale = 1 / Math.sqrt(q.shape.at(-1)!) } = options;
  checkNumbers(op, finite, { scale });
  check(
    window === null || (window.length === 2 && window.every((n) => Number.isInteger(n) && n >= -1)),
    "argument",
    () =>
      `${op}: the window must be two whole numbers of at least -1, got [${window!.join(", ")}]. Use -1 for no limit.`,
  );
  return { causal: isCausal, window: window === null ? null : [...window], scale };
}

/**
 * Scaled dot-product attention: softmax(scale · q kᵀ) v, over the keys that each query may see.
 * Devices compute it without ever holding all scores. A query that sees no key gets 0.
 *
 * @param q [..., heads, queries, size]
 * @param k [..., heads, keys, size]
 * @param v [..., heads, keys, value size]
 * @returns [..., heads, queries, value size]
 *
 * @example
 * ```ts
 * import { scaledDotProductAttention, tensor } from "@x/tensor";
 *
 * const q = tensor([[1, 0]]);
 * const k = tensor([[100, 0], [0, 100]]);
 * const v = tensor([[1, 2], [3, 4]]);
 * console.log(await scaledDotProductAttention(q, k, v).toArray()); // → [ [ 1, 2 ] ]
 * ```
 *
 * @see Vaswani et al.: Attention Is All You Need (2017)
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = {},
): Tensor {
  const op = "scaledDotProductAttention";
  const { dropoutP = 0, generator = getDefaultGenerator() } = options;
  checkNumbers(op, probability, { dropoutP });
  const { tensors, guide, leading } = arrange(op, [q, k, v], options);
  const y = attention.scaledDotProductAttention(
    tensors[0]!.value,
    tensors[1]!.value,
    tensors[2]!.value,
    guide?.value ?? null,
    dropoutP > 0 ? drawScalars(generator.draw()) : null,
    { ...settings(op, q, options), dropout: dropoutP },
  );
  return new Tensor(y).reshape([...leading, q.shape.at(-2)!, v.shape.at(-1)!]);
}

/**
 * The weights of attention, softmax(scale · q kᵀ) over the visible keys: [..., heads, queries, keys].
 * Holds all of them, unlike `scaledDotProductAttention`. A query that sees no key gets zeros.
 *
 * @example
 * ```ts
 * import { attentionWeights, ones } from "@x/tensor";
 *
 * const weights = attentionWeights(ones([2, 4]), ones([2, 4]), { isCausal: true });
 * console.log(await weights.toArray()); // → [ [ 1, 0 ], [ 0.5, 0.5 ] ]
 * ```
 */
export function attentionWeights(q: Tensor, k: Tensor, options: VisibilityOptions = {}): Tensor {
  const op = "attentionWeights";
  const { tensors, guide, leading } = arrange(op, [q, k], options);
  const weights = attention.attentionWeights(
    tensors[0]!.value,
    tensors[1]!.value,
    guide?.value ?? null,
    settings(op, q, options),
  );
  return new Tensor(weights).reshape([...leading, q.shape.at(-2)!, k.shape.at(-2)!]);
}
