/** The encoder of the transformer. */

import type { Tensor } from "../tensor/tensor.js";
import type { Module } from "./module.js";
import {
  TransformerLayer,
  TransformerStack,
  type TransformerLayerOptions,
  type TransformerStackOptions,
} from "./transformer-layer.js";

/** Options of a call of `TransformerEncoderLayer`. */
export interface TransformerEncoderLayerCall {
  /** Which positions see which: see `attnMask` of `MultiheadAttention`. */
  readonly srcMask?: Tensor | null;
  /** Positions to ignore: see `keyPaddingMask` of `MultiheadAttention`. */
  readonly srcKeyPaddingMask?: Tensor | null;
  /** Whether a position sees only those up to its own. Default false. */
  readonly isCausal?: boolean;
}

/**
 * A layer of the encoder: self-attention and a feed-forward part, each with dropout, a residual
 * connection and a layer norm. Semantics, parameters and their names are those of PyTorch.
 *
 * @example
 * ```ts
 * const layer = new TransformerEncoderLayer({ dModel: 16, nHead: 4, dimFeedforward: 32, batchFirst: true });
 * console.log(layer.forward(randn([2, 5, 16]), { isCausal: true }).shape); // → [ 2, 5, 16 ]
 * ```
 *
 * @see Vaswani et al.: Attention Is All You Need (2017)
 */
export class TransformerEncoderLayer extends TransformerLayer {
  /** @throws XError `argument` if a size is out of range or `nHead` does not divide `dModel` */
  constructor(options: TransformerLayerOptions) {
    super("TransformerEncoderLayer", options, false);
  }

  /**
   * From `[length, batch, dModel]`, with `batchFirst` `[batch, length, dModel]`, without batch
   * `[length, dModel]`, to the same shape.
   */
  forward(src: Tensor, options: TransformerEncoderLayerCall = {}): Tensor {
    const { srcMask = null, srcKeyPaddingMask = null, isCausal = false } = options;
    const call = { attnMask: srcMask, keyPaddingMask: srcKeyPaddingMask, isCausal };
    return this.run(
      src,
      [this.norm1, (x) => this.attend(this.selfAttn, this.dropout1, x, x, call)],
      [this.norm2, (x) => this.feedForward(this.dropout2, x)],
    );
  }
}

/** Options of a call of `TransformerEncoder`. */
export interface TransformerEncoderCall {
  /** Which positions see which, in every layer: see `attnMask` of `MultiheadAttention`. */
  readonly mask?: Tensor | null;
  /** Positions to ignore: see `keyPaddingMask` of `MultiheadAttention`. */
  readonly srcKeyPaddingMask?: Tensor | null;
  /** Whether a position sees only those up to its own. Default false. */
  readonly isCausal?: boolean;
}

/** A layer that `TransformerEncoder` can repeat. */
export interface EncoderLayer extends Module {
  /** What the layer computes. */
  forward(src: Tensor, options?: TransformerEncoderLayerCall): Tensor;
}

/**
 * Layers of one kind in a row, and perhaps a norm at the end.
 *
 * @example
 * ```ts
 * const layer = new TransformerEncoderLayer({ dModel: 8, nHead: 2, dimFeedforward: 16 });
 * const encoder = new TransformerEncoder(layer, { numLayers: 2, norm: new LayerNorm(8) });
 * console.log(encoder.forward(randn([5, 3, 8])).shape); // → [ 5, 3, 8 ]
 * ```
 */
export class TransformerEncoder<
  L extends EncoderLayer = TransformerEncoderLayer,
> extends TransformerStack<L> {
  /**
   * @param layer the pattern: each layer starts as a copy of it
   * @throws XError `argument` if the number of layers is not a whole number of at least 1
   */
  constructor(layer: L, options: TransformerStackOptions) {
    super("TransformerEncoder", layer, options);
  }

  /** From the shape that the layers take to the same shape. */
  forward(src: Tensor, options: TransformerEncoderCall = {}): Tensor {
    const { mask = null, srcKeyPaddingMask = null, isCausal = false } = options;
    const call = { srcMask: mask, srcKeyPaddingMask, isCausal };
    return this.run(src, (layer, x) => layer.forward(x, call));
  }
}
