/** A layer of the encoder: attention and a feed-forward part. */

import type { Tensor } from "@x/tensor";
import { check, checkNumbers, count, formatShape, positive, probability } from "@x/tensor/checks";
import {
  type Activation,
  activationByName,
  type ActivationName,
  Dropout,
  LayerNorm,
  Linear,
  Module,
  type PositionOptions,
  type TensorModule,
  withUpdates,
} from "@x/tensor/nn";
import type { Compatibility } from "../attention/compatibility.js";
import {
  CumulativeLinearMultiheadAttentionKV,
  type Advance,
} from "../multihead/multihead-attention.js";
import type { CumulativeCall, HeadNorm } from "../multihead/options.js";
import type { AttentionMemory } from "../state/cumulative-state.js";

const owner = "CumulativeTransformerEncoderLayerKV";

/**
 * What brings positions in, such as the positional encodings of `@x/tensor/nn`. Its input is always
 * [batch, length, dModel]. Where a sequence goes on, `offset` is the position of its next token, an
 * int32 tensor [] whose number changes from call to call.
 */
export interface PositionalEmbedding extends Module {
  /** From [batch, length, dModel] to the same shape. */
  forward(x: Tensor, options?: PositionOptions): Tensor;
}

/** Options of {@link CumulativeTransformerEncoderLayerKV}. */
export interface CumulativeEncoderLayerOptions {
  /** Size of the vectors. */
  readonly dModel: number;
  /** How many heads the attention has, a divisor of `dModel`. */
  readonly nHead: number;
  /** Size between the two maps of the feed-forward part. Default 2048. */
  readonly dimFeedforward?: number;
  /** The probability of all dropouts in training. Default 0.1. */
  readonly dropout?: number;
  /** What lies between the two maps of the feed-forward part. Default `"relu"`. */
  readonly activation?: ActivationName | Activation;
  /** Added to the variance in the norms of the layer. Default 1e-5. */
  readonly layerNormEps?: number;
  /** Whether the batch is the first axis, not the second. Default false, as in PyTorch. */
  readonly batchFirst?: boolean;
  /** Whether each part normalises what goes in, not what comes out. Default false. */
  readonly normFirst?: boolean;
  /** Whether maps and norms have biases. Default true. */
  readonly bias?: boolean;
  /** What brings positions into the input of the layer. Default: nothing. */
  readonly posEmb?: PositionalEmbedding | null;
  /** What normalises the queries, head by head. Default: nothing. */
  readonly normQ?: HeadNorm;
  /** What normalises the keys, head by head. Default: nothing. */
  readonly normK?: HeadNorm;
  /** What normalises the values, head by head. Default: nothing. */
  readonly normV?: HeadNorm;
  /** Factor of what the attention reads. Default 1 / √(head size). */
  readonly scale?: number | null;
  /** Heads of keys and values: see `kvHeads` of the attention. Default: `nHead`. */
  readonly kvHeads?: number;
  /** Whether every query also sees a trained key and value. Default false. */
  readonly addBiasKv?: boolean;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/**
 * A layer of the encoder: cumulative linear self-attention and a feed-forward part, each with
 * dropout, a residual connection and a layer norm. Parameters and their names are those of
 * `torch.nn.TransformerEncoderLayer`.
 *
 * @example
 * ```ts
 * const layer = new CumulativeTransformerEncoderLayerKV({ dModel: 16, nHead: 4, batchFirst: true });
 * console.log(layer.forward(randn([2, 5, 16]), { isCausal: true }).shape); // → [ 2, 5, 16 ]
 * ```
 */
export class CumulativeTransformerEncoderLayerKV extends Module {
  /** The attention. */
  readonly selfAttn: CumulativeLinearMultiheadAttentionKV;
  /** The first map of the feed-forward part. */
  readonly linear1: Linear;
  /** Dropout between the two maps; another module may take its place. */
  dropout: TensorModule;
  /** The second map of the feed-forward part. */
  readonly linear2: Linear;
  /** The norm of the attention. */
  readonly norm1: LayerNorm;
  /** The norm of the feed-forward part. */
  readonly norm2: LayerNorm;
  /** Dropout of what the attention gives; another module may take its place. */
  dropout1: TensorModule;
  /** Dropout of what the feed-forward part gives; another module may take its place. */
  dropout2: TensorModule;
  /** What brings positions in, or `null`. */
  readonly posEmb: PositionalEmbedding | null;
  /** What lies between the two maps. */
  readonly activation: Activation;
  /** Whether each part normalises what goes in. */
  readonly normFirst: boolean;

  /** @throws XError `argument` if an option is out of range or `nHead` does not divide `dModel` */
  constructor(options: CumulativeEncoderLayerOptions) {
    super();
    const { dModel, nHead, dimFeedforward = 2048, dropout = 0.1, layerNormEps = 1e-5 } = options;
    const { bias = true, activation = "relu", posEmb = null, dropout: _, ...rest } = options;
    checkNumbers(owner, count, { dModel, nHead, dimFeedforward });
    checkNumbers(owner, probability, { dropout });
    checkNumbers(owner, positive, { layerNormEps });
    check(
      posEmb === null || (posEmb instanceof Module && typeof posEmb.forward === "function"),
      "argument",
      () =>
        `${owner}: posEmb must be a module with forward(), got ${typeof posEmb}. Extend Module.`,
    );
    this.selfAttn = new CumulativeLinearMultiheadAttentionKV(dModel, nHead, {
      ...rest,
      dropout,
      bias,
    });
    this.linear1 = new Linear(dModel, dimFeedforward, { bias });
    this.dropout = new Dropout(dropout);
    this.linear2 = new Linear(dimFeedforward, dModel, { bias });
    this.norm1 = new LayerNorm(dModel, { eps: layerNormEps, bias });
    this.norm2 = new LayerNorm(dModel, { eps: layerNormEps, bias });
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
    this.posEmb = posEmb;
    this.activation = activationByName(activation);
    this.normFirst = options.normFirst ?? false;
  }

  /** Whether the batch is the first axis. */
  get batchFirst(): boolean {
    return this.selfAttn.batchFirst;
  }

  /**
   * From [length, batch, dModel], with `batchFirst` [batch, length, dModel], without batch
   * [length, dModel], to the same shape. What is remembered changes as in the attention.
   *
   * @throws XError `shape`, `dtype` or `argument` as the attention does
   */
  forward(src: Tensor, options: CumulativeCall = {}): Tensor {
    const { output, updates } = this.advance(src, options);
    return withUpdates(output, updates);
  }

  /** @internal What `forward` gives, with the updates still to be made. */
  advance(src: Tensor, options: CumulativeCall): Advance {
    check(
      (src.rank === 2 || src.rank === 3) && src.shape.at(-1) === this.selfAttn.embedDim,
      "shape",
      () =>
        `${owner}: the input must have the axes ${this.batchFirst ? "[batch, length, " : "[length, batch, "}${this.selfAttn.embedDim}] or [length, ${this.selfAttn.embedDim}], got ${formatShape(src.shape)}. Reshape it.`,
    );
    const { norm1, norm2 } = this;
    const x = this.addPositions(src, options);
    const attended = this.normFirst ? norm1.forward(x) : x;
    const { output, updates } = this.selfAttn.advance(attended, attended, attended, options);
    const sum = x.add(this.dropout1.forward(output));
    if (this.normFirst) {
      return { output: sum.add(this.feedForward(norm2.forward(sum))), updates };
    }
    const y = norm1.forward(sum);
    return { output: norm2.forward(y.add(this.feedForward(y))), updates };
  }

  /** The memory of nothing, for `batch` sequences at once. */
  initState(batch: number = 1): AttentionMemory {
    return this.selfAttn.initState(batch);
  }

  /** What is cached, or `null`: see `kvCache` of the attention. */
  get kvCache(): AttentionMemory | null {
    return this.selfAttn.kvCache;
  }

  /** Replaces the cache by a copy of a state, or clears it. */
  set kvCache(state: AttentionMemory | null) {
    this.selfAttn.kvCache = state;
  }

  /** Forgets what is cached. */
  clearKvCache(): void {
    this.selfAttn.clearKvCache();
  }

  private addPositions(src: Tensor, { state = null, useKvCache = false }: CumulativeCall): Tensor {
    const { posEmb, batchFirst } = this;
    if (posEmb === null) return src;
    const continued = this.selfAttn.compat === "reference" ? null : state;
    const cached = useKvCache && this.selfAttn.compat !== "reference" ? this.kvCache : null;
    const offset = continued?.position ?? cached?.position;
    const add = (x: Tensor): Tensor => posEmb.forward(x, offset === undefined ? {} : { offset });
    if (src.rank === 2) return add(src.unsqueeze(0)).squeeze(0);
    return batchFirst ? add(src) : add(src.transpose(0, 1)).transpose(0, 1);
  }

  private feedForward(x: Tensor): Tensor {
    const inner = this.dropout.forward(this.activation(this.linear1.forward(x)));
    return this.dropout2.forward(this.linear2.forward(inner));
  }
}
