/** The encoder of the transformer. */

import { checkNumbers, count } from "../tensor/arguments.js";
import type { Tensor } from "../tensor/tensor.js";
import { activationByName, type Activation, type ActivationName } from "./activations.js";
import { ModuleList } from "./containers.js";
import { Dropout } from "./dropout.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import { MultiheadAttention } from "./multihead-attention.js";
import { LayerNorm } from "./normalization.js";

/** Options of the layers of transformers. */
export interface TransformerLayerOptions {
  /** Size of the vectors. */
  readonly dModel: number;
  /** How many heads the attention has. */
  readonly nHead: number;
  /** Size between the two maps of the feed-forward part. Default 2048. */
  readonly dimFeedforward?: number;
  /** The probability of all dropouts. Default 0.1. */
  readonly dropout?: number;
  /** What lies between the two maps of the feed-forward part. Default `"relu"`. */
  readonly activation?: ActivationName | Activation;
  /** Added to the variance in layer norms. Default 1e-5. */
  readonly layerNormEps?: number;
  /** Whether the batch is the first axis, not the second. Default false, as in PyTorch. */
  readonly batchFirst?: boolean;
  /** Whether each part normalises what goes in, not what comes out. Default false. */
  readonly normFirst?: boolean;
  /** Whether maps and norms have biases. Default true. */
  readonly bias?: boolean;
}

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
export class TransformerEncoderLayer extends Module {
  /** The attention. */
  readonly selfAttn: MultiheadAttention;
  /** The first map of the feed-forward part. */
  readonly linear1: Linear;
  /** Dropout between the two maps. */
  readonly dropout: Dropout;
  /** The second map of the feed-forward part. */
  readonly linear2: Linear;
  /** The norm of the attention. */
  readonly norm1: LayerNorm;
  /** The norm of the feed-forward part. */
  readonly norm2: LayerNorm;
  /** Dropout of what the attention gives. */
  readonly dropout1: Dropout;
  /** Dropout of what the feed-forward part gives. */
  readonly dropout2: Dropout;
  /** What lies between the two maps. */
  readonly activation: Activation;
  /** Whether each part normalises what goes in. */
  readonly normFirst: boolean;

  /** @throws XError `argument` if a size is out of range or `nHead` does not divide `dModel` */
  constructor(options: TransformerLayerOptions) {
    super();
    const { dModel, nHead, dimFeedforward = 2048, dropout = 0.1, layerNormEps = 1e-5 } = options;
    const { batchFirst = false, normFirst = false, bias = true, activation = "relu" } = options;
    checkNumbers("TransformerEncoderLayer", count, { dModel, nHead, dimFeedforward });
    this.selfAttn = new MultiheadAttention(dModel, nHead, { dropout, bias, batchFirst });
    this.linear1 = new Linear(dModel, dimFeedforward, { bias });
    this.dropout = new Dropout(dropout);
    this.linear2 = new Linear(dimFeedforward, dModel, { bias });
    this.norm1 = new LayerNorm(dModel, { eps: layerNormEps, bias });
    this.norm2 = new LayerNorm(dModel, { eps: layerNormEps, bias });
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
    this.activation = activationByName(activation);
    this.normFirst = normFirst;
  }

  /**
   * From `[length, batch, dModel]`, with `batchFirst` `[batch, length, dModel]`, without batch
   * `[length, dModel]`, to the same shape.
   */
  forward(src: Tensor, options: TransformerEncoderLayerCall = {}): Tensor {
    const { norm1, norm2 } = this;
    if (this.normFirst) {
      const x = src.add(this.attend(norm1.forward(src), options));
      return x.add(this.feedForward(norm2.forward(x)));
    }
    const x = norm1.forward(src.add(this.attend(src, options)));
    return norm2.forward(x.add(this.feedForward(x)));
  }

  private attend(x: Tensor, options: TransformerEncoderLayerCall): Tensor {
    const { srcMask = null, srcKeyPaddingMask = null, isCausal = false } = options;
    const { output } = this.selfAttn.forward(x, x, x, {
      attnMask: srcMask,
      keyPaddingMask: srcKeyPaddingMask,
      isCausal,
      needWeights: false,
    });
    return this.dropout1.forward(output);
  }

  private feedForward(x: Tensor): Tensor {
    const inner = this.dropout.forward(this.activation(this.linear1.forward(x)));
    return this.dropout2.forward(this.linear2.forward(inner));
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

/** Options of the encoder and the decoder. */
export interface TransformerStackOptions {
  /** How many layers there are. */
  readonly numLayers: number;
  /** A norm at the end. Default: none. */
  readonly norm?: LayerNorm | null;
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
export class TransformerEncoder<L extends EncoderLayer = TransformerEncoderLayer> extends Module {
  /** The layers in the order in which they are applied. */
  readonly layers: ModuleList<L>;
  /** The norm at the end, or `null`. */
  readonly norm: LayerNorm | null;

  /**
   * @param layer the pattern: each layer starts as a copy of it
   * @throws XError `argument` if the number of layers is not a whole number of at least 1
   */
  constructor(layer: L, options: TransformerStackOptions) {
    super();
    checkNumbers("TransformerEncoder", count, { numLayers: options.numLayers });
    this.layers = copies(layer, options.numLayers);
    this.norm = options.norm ?? null;
  }

  /** From the shape that the layers take to the same shape. */
  forward(src: Tensor, options: TransformerEncoderCall = {}): Tensor {
    const { mask = null, srcKeyPaddingMask = null, isCausal = false } = options;
    let x = src;
    for (const layer of this.layers) {
      x = layer.forward(x, { srcMask: mask, srcKeyPaddingMask, isCausal });
    }
    return this.norm === null ? x : this.norm.forward(x);
  }
}

/** `count` copies of a module. */
export function copies<M extends Module>(module: M, count: number): ModuleList<M> {
  return new ModuleList(Array.from({ length: count }, () => module.clone()));
}
