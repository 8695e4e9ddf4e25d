/** The decoder of the transformer. */

import { checkNumbers, count } from "../tensor/arguments.js";
import type { Tensor } from "../tensor/tensor.js";
import { activationByName, type Activation } from "./activations.js";
import type { ModuleList } from "./containers.js";
import { Dropout } from "./dropout.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import { MultiheadAttention } from "./multihead-attention.js";
import { LayerNorm } from "./normalization.js";
import {
  copies,
  type TransformerLayerOptions,
  type TransformerStackOptions,
} from "./transformer-encoder.js";

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
export class TransformerDecoderLayer extends Module {
  /** The attention among the targets. */
  readonly selfAttn: MultiheadAttention;
  /** The attention to the memory. */
  readonly multiheadAttn: MultiheadAttention;
  /** The first map of the feed-forward part. */
  readonly linear1: Linear;
  /** Dropout between the two maps. */
  readonly dropout: Dropout;
  /** The second map of the feed-forward part. */
  readonly linear2: Linear;
  /** The norm of the attention among the targets. */
  readonly norm1: LayerNorm;
  /** The norm of the attention to the memory. */
  readonly norm2: LayerNorm;
  /** The norm of the feed-forward part. */
  readonly norm3: LayerNorm;
  /** Dropout of what the attention among the targets gives. */
  readonly dropout1: Dropout;
  /** Dropout of what the attention to the memory gives. */
  readonly dropout2: Dropout;
  /** Dropout of what the feed-forward part gives. */
  readonly dropout3: Dropout;
  /** What lies between the two maps. */
  readonly activation: Activation;
  /** Whether each part normalises what goes in. */
  readonly normFirst: boolean;

  /** @throws XError `argument` if a size is out of range or `nHead` does not divide `dModel` */
  constructor(options: TransformerLayerOptions) {
    super();
    const { dModel, nHead, dimFeedforward = 2048, dropout = 0.1, layerNormEps = 1e-5 } = options;
    const { batchFirst = false, normFirst = false, bias = true, activation = "relu" } = options;
    checkNumbers("TransformerDecoderLayer", count, { dModel, nHead, dimFeedforward });
    const norm = (): LayerNorm => new LayerNorm(dModel, { eps: layerNormEps, bias });
    this.selfAttn = new MultiheadAttention(dModel, nHead, { dropout, bias, batchFirst });
    this.multiheadAttn = new MultiheadAttention(dModel, nHead, { dropout, bias, batchFirst });
    this.linear1 = new Linear(dModel, dimFeedforward, { bias });
    this.dropout = new Dropout(dropout);
    this.linear2 = new Linear(dimFeedforward, dModel, { bias });
    this.norm1 = norm();
    this.norm2 = norm();
    this.norm3 = norm();
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
    this.dropout3 = new Dropout(dropout);
    this.activation = activationByName(activation);
    this.normFirst = normFirst;
  }

  /**
   * From targets `[length, batch, dModel]` and a memory `[positions, batch, dModel]` (with
   * `batchFirst` the batch first, also without batch) to the shape of the targets.
   */
  forward(tgt: Tensor, memory: Tensor, options: TransformerDecoderCall = {}): Tensor {
    const { norm1, norm2, norm3 } = this;
    if (this.normFirst) {
      let x = tgt.add(this.attend(norm1.forward(tgt), options));
      x = x.add(this.attendMemory(norm2.forward(x), memory, options));
      return x.add(this.feedForward(norm3.forward(x)));
    }
    let x = norm1.forward(tgt.add(this.attend(tgt, options)));
    x = norm2.forward(x.add(this.attendMemory(x, memory, options)));
    return norm3.forward(x.add(this.feedForward(x)));
  }

  private attend(x: Tensor, options: TransformerDecoderCall): Tensor {
    const { output } = this.selfAttn.forward(x, x, x, {
      attnMask: options.tgtMask ?? null,
      keyPaddingMask: options.tgtKeyPaddingMask ?? null,
      isCausal: options.tgtIsCausal ?? false,
      needWeights: false,
    });
    return this.dropout1.forward(output);
  }

  private attendMemory(x: Tensor, memory: Tensor, options: TransformerDecoderCall): Tensor {
    const { output } = this.multiheadAttn.forward(x, memory, memory, {
      attnMask: options.memoryMask ?? null,
      keyPaddingMask: options.memoryKeyPaddingMask ?? null,
      isCausal: options.memoryIsCausal ?? false,
      needWeights: false,
    });
    return this.dropout2.forward(output);
  }

  private feedForward(x: Tensor): Tensor {
    const inner = this.dropout.forward(this.activation(this.linear1.forward(x)));
    return this.dropout3.forward(this.linear2.forward(inner));
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
export class TransformerDecoder<L extends DecoderLayer = TransformerDecoderLayer> extends Module {
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
    checkNumbers("TransformerDecoder", count, { numLayers: options.numLayers });
    this.layers = copies(layer, options.numLayers);
    this.norm = options.norm ?? null;
  }

  /** From targets and a memory, as the layers take them, to the shape of the targets. */
  forward(tgt: Tensor, memory: Tensor, options: TransformerDecoderCall = {}): Tensor {
    let x = tgt;
    for (const layer of this.layers) x = layer.forward(x, memory, options);
    return this.norm === null ? x : this.norm.forward(x);
  }
}
