/** The decoder of the transformer. */

import type { Tensor } from "../tensor/tensor.js";
import type { Dropout } from "./dropout.js";
import type { Module } from "./module.js";
import type { MultiheadAttention } from "./multihead-attention.js";
import type { LayerNorm } from "./normalization.js";
import {
  TransformerLayer,
  TransformerStack,
  type TransformerLayerOptions,
  type TransformerStackOptions,
} from "./transformer-layer.js";

/** Options of a call of the decoder and of its layers. */
export interface TransformerDecoderCall {
  /** Which targets see which: see `attnMask` of `MultiheadAttention`. */
  readonly tgtMask?: Tensor | null;
  /** Which targets see which positions of the memory. */
  readonly memoryMask?: Tensor | null;
  /** Targets to ignore: see `keyPaddingMask` of `MultiheadAttention`. */
  readonly tgtKeyPaddingMask?: Tensor | null;
  /** Positions of the memory to ignore. */
  readonly memoryKeyPaddingMask?: Tensor | null;
  /** Whether a target sees only targets up to its own place. Default false. */
  readonly tgtIsCausal?: boolean;
  /** Whether a target sees the memory only up to its own place. Default false. */
  readonly memoryIsCausal?: boolean;
}

/**
 * A layer of the decoder: self-attention, attention to a memory and a feed-forward part, each with
 * dropout, a residual connection and a layer norm. Semantics, parameters and their names are those
 * of PyTorch.
 *
 * @example
 * ```ts
 * const layer = new TransformerDecoderLayer({ dModel: 16, nHead: 4, dimFeedforward: 32, batchFirst: true });
 * const memory = randn([2, 7, 16]);
 * console.log(layer.forward(randn([2, 5, 16]), memory, { tgtIsCausal: true }).shape); // → [ 2, 5, 16 ]
 * ```
 *
 * @see Vaswani et al.: Attention Is All You Need (2017)
 */
export class TransformerDecoderLayer extends TransformerLayer {
  /** The attention to the memory, the second part. */
  declare readonly multiheadAttn: MultiheadAttention;
  /** The norm of the feed-forward part, the third. */
  declare readonly norm3: LayerNorm;
  /** Dropout of what the feed-forward part gives. */
  declare readonly dropout3: Dropout;

  /** @throws XError `argument` if a size is out of range or `nHead` does not divide `dModel` */
  constructor(options: TransformerLayerOptions) {
    super("TransformerDecoderLayer", options, true);
  }

  /**
   * From targets `[length, batch, dModel]` and a memory `[positions, batch, dModel]` (with
   * `batchFirst` the batch first, also without batch) to the shape of the targets.
   */
  forward(tgt: Tensor, memory: Tensor, options: TransformerDecoderCall = {}): Tensor {
    const { tgtMask = null, tgtKeyPaddingMask = null, tgtIsCausal = false } = options;
    const { memoryMask = null, memoryKeyPaddingMask = null, memoryIsCausal = false } = options;
    const own = { attnMask: tgtMask, keyPaddingMask: tgtKeyPaddingMask, isCausal: tgtIsCausal };
    const other = {
      attnMask: memoryMask,
      keyPaddingMask: memoryKeyPaddingMask,
      isCausal: memoryIsCausal,
    };
    return this.run(
      tgt,
      [this.norm1, (x) => this.attend(this.selfAttn, this.dropout1, x, x, own)],
      [this.norm2, (x) => this.attend(this.multiheadAttn, this.dropout2, x, memory, other)],
      [this.norm3, (x) => this.feedForward(this.dropout3, x)],
    );
  }
}

/** A layer that `TransformerDecoder` can repeat. */
export interface DecoderLayer extends Module {
  /** What the layer computes. */
  forward(tgt: Tensor, memory: Tensor, options?: TransformerDecoderCall): Tensor;
}

/**
 * Layers of one kind in a row, and perhaps a norm at the end.
 *
 * @example
 * ```ts
 * const layer = new TransformerDecoderLayer({ dModel: 8, nHead: 2, dimFeedforward: 16 });
 * const decoder = new TransformerDecoder(layer, { numLayers: 2, norm: new LayerNorm(8) });
 * console.log(decoder.forward(randn([5, 3, 8]), randn([7, 3, 8])).shape); // → [ 5, 3, 8 ]
 * ```
 */
export class TransformerDecoder<
  L extends DecoderLayer = TransformerDecoderLayer,
> extends TransformerStack<L> {
  /**
   * @param layer the pattern: each layer starts as a copy of it
   * @throws XError `argument` if the number of layers is not a whole number of at least 1
   */
  constructor(layer: L, options: TransformerStackOptions) {
    super("TransformerDecoder", layer, options);
  }

  /** From targets and a memory, as the layers take them, to the shape of the targets. */
  forward(tgt: Tensor, memory: Tensor, options: TransformerDecoderCall = {}): Tensor {
    return this.run(tgt, (layer, x) => layer.forward(x, memory, options));
  }
}
