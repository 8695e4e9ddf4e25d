/** Linear attention over images. */

import type { Tensor } from "@x/tensor";
import { cat, Conv2d, Module } from "../engine.js";
import { checkAxes, checkCounts } from "../checks.js";
import { checkCompat, type Compatibility } from "../compatibility.js";

/** Options of {@link ImageLinearAttention}. */
export interface ImageLinearAttentionOptions {
  /** Channels of the result. Default: those of the input. */
  readonly chanOut?: number | null;
  /** Size of the kernels of all convolutions. Default 1. */
  readonly kernelSize?: number;
  /** Zeros around what is convolved. Default 0. */
  readonly padding?: number;
  /** How far the kernels of queries, keys and values move. Default 1. */
  readonly stride?: number;
  /** Size of queries and keys. Default 64. */
  readonly keyDim?: number;
  /** Size of values. Default 64. */
  readonly valueDim?: number;
  /** How many heads. Default 8. */
  readonly heads?: number;
  /** Whether queries are normalised over their features. Default true. */
  readonly normQueries?: boolean;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** Options of a call. */
export interface ImageLinearAttentionCall {
  /**
   * More places that keys and values come from: an image [batch, chan, height, width] of any size,
   * or a sequence [batch, chan, length], which is an image of one row.
   */
  readonly context?: Tensor | null;
}

const owner = "ImageLinearAttention";

/**
 * Linear attention of every pixel over all pixels: queries, keys and values are convolutions of the
 * image, `y = toOut(softmax_features(s q) (softmax_positions(s k)ᵀ v))` with `s = keyDim^(−1/4)`.
 *
 * @example
 * ```ts
 * const attention = new ImageLinearAttention(3, { chanOut: 8, keyDim: 4, valueDim: 4, heads: 2 });
 * console.log(attention.forward(ones([1, 3, 6, 5])).shape); // → [ 1, 8, 6, 5 ]
 * ```
 *
 * @see Shen et al.: Efficient Attention: Attention with Linear Complexities (2018)
 */
export class ImageLinearAttention extends Module {
  /** Size of queries and keys. */
  readonly keyDim: number;
  /** Size of values. */
  readonly valueDim: number;
  /** How many heads. */
  readonly heads: number;
  /** Whether queries are normalised over their features. */
  readonly normQueries: boolean;
  /** `"reference"` where the original is reproduced, else `null`. */
  readonly compat: Compatibility | null;
  /** To the queries. */
  readonly toQ: Conv2d;
  /** To the keys. */
  readonly toK: Conv2d;
  /** To the values. */
  readonly toV: Conv2d;
  /** From the joined heads. */
  readonly toOut: Conv2d;

  /**
   * @param chan channels of the input
   * @throws XError `argument` if a number is out of range
   */
  constructor(chan: number, options: ImageLinearAttentionOptions = {}) {
    super();
    const { kernelSize = 1, padding = 0, stride = 1 } = options;
    const { keyDim = 64, valueDim = 64, heads = 8, normQueries = true } = options;
    checkCounts(owner, { chan, keyDim, valueDim, heads });
    this.keyDim = keyDim;
    this.valueDim = valueDim;
    this.heads = heads;
    this.normQueries = normQueries;
    this.compat = checkCompat(owner, options.compat);
    this.toQ = new Conv2d(chan, keyDim * heads, kernelSize, { padding, stride });
    this.toK = new Conv2d(chan, keyDim * heads, kernelSize, { padding, stride });
    this.toV = new Conv2d(chan, valueDim * heads, kernelSize, { padding, stride });
    this.toOut = new Conv2d(valueDim * heads, options.chanOut ?? chan, kernelSize, { padding });
  }

  /**
   * From [batch, chan, height, width] to [batch, chanOut, height′, width′].
   *
   * @throws XError `shape` if the image or the context does not fit
   */
  forward(x: Tensor, options: ImageLinearAttentionCall = {}): Tensor {
    const { context = null } = options;
    const axes = ["batch", "chan", "height", "width"];
    checkAxes(owner, "input", x, axes);
    if (context !== null && context.rank !== 3) checkAxes(owner, "context", context, axes);
    const isOriginal = this.compat !== null;
    const scale = this.keyDim ** -0.25;
    const image = this.toQ.forward(x);
    let query = this.toHeads(image).mul(scale);
    let key = this.toHeads(this.toK.forward(x)).mul(scale);
    let value = this.toHeads(this.toV.forward(x));
    if (context !== null) {
      const source = isOriginal || context.rank === 3 ? context.flatten(2).unsqueeze(2) : context;
      const more = this.toHeads(this.toK.forward(source));
      key = cat([key, isOriginal ? more : more.mul(scale)], -1);
      value = cat([value, this.toHeads(this.toV.forward(source))], -1);
    }
    if (this.normQueries) query = query.softmax(-2);
    const summary = value.matmul(key.softmax(-1).transpose(-1, -2));
    const joined = summary.matmul(query).flatten(1, 2).unflatten(-1, image.shape.slice(-2));
    return this.toOut.forward(joined);
  }

  /** [batch, heads · size, height, width] as [batch, heads, size, height · width]. */
  private toHeads(x: Tensor): Tensor {
    return x.flatten(2).unflatten(1, [this.heads, -1]);
  }
}
