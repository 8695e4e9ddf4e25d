/** What the layers of the encoder and the decoder of the transformer have in common. */

import { checkNumbers, count } from "../tensor/arguments.js";
import type { Tensor } from "../tensor/tensor.js";
import { activationByName, type Activation, type ActivationName } from "./activations.js";
import { ModuleList } from "./containers.js";
import { Dropout } from "./dropout.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import { MultiheadAttention, type MultiheadAttentionCall } from "./multihead-attention.js";
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

/** A part of a layer, and the norm that goes with it. */
export type Part = readonly [norm: LayerNorm, compute: (x: Tensor) => Tensor];

/** A layer: parts with attention, with a memory or without, then a feed-forward part. */
export abstract class TransformerLayer extends Module {
  /** The attention of the positions to each other. */
  readonly selfAttn: MultiheadAttention;
  /** The first map of the feed-forward part. */
  readonly linear1: Linear;
  /** Dropout between the two maps. */
  readonly dropout: Dropout;
  /** The second map of the feed-forward part. */
  readonly linear2: Linear;
  /** The norm of the first part, the attention of the positions to each other. */
  readonly norm1: LayerNorm;
  /** The norm of the second part. */
  readonly norm2: LayerNorm;
  /** Dropout of what the first part gives. */
  readonly dropout1: Dropout;
  /** Dropout of what the second part gives. */
  readonly dropout2: Dropout;
  /** What lies between the two maps. */
  readonly activation: Activation;
  /** Whether each part normalises what goes in. */
  readonly normFirst: boolean;

  /** Sets properties in PyTorch's order, which is that of the parameters of an optimizer. */
  constructor(owner: string, options: TransformerLayerOptions, hasMemory: boolean) {
    super();
    const { dModel, nHead, dimFeedforward = 2048, dropout = 0.1, layerNormEps = 1e-5 } = options;
    const { batchFirst = false, normFirst = false, bias = true, activation = "relu" } = options;
    checkNumbers(owner, count, { dModel, nHead, dimFeedforward });
    const attention = (): MultiheadAttention =>
      new MultiheadAttention(dModel, nHead, { dropout, bias, batchFirst });
    const norm = (): LayerNorm => new LayerNorm(dModel, { eps: layerNormEps, bias });
    this.selfAttn = attention();
    if (hasMemory) Object.assign(this, { multiheadAttn: attention() });
    this.linear1 = new Linear(dModel, dimFeedforward, { bias });
    this.dropout = new Dropout(dropout);
    this.linear2 = new Linear(dimFeedforward, dModel, { bias });
    this.norm1 = norm();
    this.norm2 = norm();
    if (hasMemory) Object.assign(this, { norm3: norm() });
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
    if (hasMemory) Object.assign(this, { dropout3: new Dropout(dropout) });
    this.activation = activationByName(activation);
    this.normFirst = normFirst;
  }

  /** The parts in a row, each with a residual connection. */
  protected run(input: Tensor, ...parts: readonly Part[]): Tensor {
    let x = input;
    for (const [norm, compute] of parts) {
      x = this.normFirst ? x.add(compute(norm.forward(x))) : norm.forward(x.add(compute(x)));
    }
    return x;
  }

  /** What `x` finds in `memory`. */
  protected attend(
    attention: MultiheadAttention,
    dropout: Dropout,
    x: Tensor,
    memory: Tensor,
    options: MultiheadAttentionCall,
  ): Tensor {
    return dropout.forward(
      attention.forward(x, memory, memory, { ...options, needWeights: false }).output,
    );
  }

  /** The feed-forward part. */
  protected feedForward(dropout: Dropout, x: Tensor): Tensor {
    const inner = this.dropout.forward(this.activation(this.linear1.forward(x)));
    return dropout.forward(this.linear2.forward(inner));
  }
}

/** Options of the encoder and the decoder. */
export interface TransformerStackOptions {
  /** How many layers there are. */
  readonly numLayers: number;
  /** A norm at the end. Default: none. */
  readonly norm?: LayerNorm | null;
}

/** Copies of a layer in a row, and perhaps a norm at the end. */
export abstract class TransformerStack<L extends Module> extends Module {
  /** The layers in the order in which they are applied. */
  readonly layers: ModuleList<L>;
  /** The norm at the end, or `null`. */
  readonly norm: LayerNorm | null;

  constructor(owner: string, layer: L, { numLayers, norm = null }: TransformerStackOptions) {
    super();
    checkNumbers(owner, count, { numLayers });
    this.layers = new ModuleList(Array.from({ length: numLayers }, () => layer.clone()));
    this.norm = norm;
  }

  /** What every layer computes of what the one before gave. */
  protected run(input: Tensor, compute: (layer: L, x: Tensor) => Tensor): Tensor {
    let x = input;
    for (const layer of this.layers) x = compute(layer, x);
    return this.norm === null ? x : this.norm.forward(x);
  }
}
