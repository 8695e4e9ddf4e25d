/** A layer of the encoder: attention and a feed-forward part. */

import type { Tensor } from "@x/tensor";
import {
  activationByName,
  Dropout,
  LayerNorm,
  Linear,
  Module,
  type Activation,
  type ActivationName,
} from "@x/tensor/nn";
import { check } from "../error.js";
import type { Compatibility } from "../attention/compatibility.js";
import type { CumulativeMask } from "../attention/mask.js";
import { CumulativeLinearMultiheadAttentionKV, type HeadNorm } from "../attention/multihead.js";
import type { CumulativeState } from "../attention/state.js";

/**
 * Adds positions to [batch, length, size]; `offset` is the position of the first element, a tensor
 * where a state says it. The positional encodings of `@x/tensor/nn` are such modules.
 */
export interface PositionalEmbedding extends Module {
  /** From [batch, length, size] to the same shape. */
  forward(x: Tensor, options?: { readonly offset?: number | Tensor }): Tensor;
}

/** Options of {@link CumulativeTransformerEncoderLayerKV}. */
export interface CumulativeEncoderLayerOptions {
  /** Size of the vectors. */
  readonly dModel: number;
  /** How many heads attention has; divides `dModel`. */
  readonly nHead: number;
  /** Size between the two maps of the feed-forward part. Default 2048. */
  readonly dimFeedforward?: number;
  /** The probability of all dropouts, in training. Default 0.1. */
  readonly dropout?: number;
  /** What lies between the two maps. Default `"relu"`. */
  readonly activation?: ActivationName | Activation;
  /** Added to the variance in layer norms. Default 1e-5. */
  readonly layerNormEps?: number;
  /** Whether the batch is the first axis, not the second. Default false, as in PyTorch. */
  readonly batchFirst?: boolean;
  /** Whether each part normalises what goes in, not what comes out. Default false. */
  readonly normFirst?: boolean;
  /** Whether maps and norms have biases. Default true. */
  readonly bias?: boolean;
  /** Adds positions to what goes into the layer. Default: none. */
  readonly posEmb?: PositionalEmbedding | null;
  /** Norm of each head's queries. Default: none. */
  readonly normQ?: HeadNorm | null;
  /** Norm of each head's keys. Default: none. */
  readonly normK?: HeadNorm | null;
  /** Norm of each head's values. Default: none. */
  readonly normV?: HeadNorm | null;
  /** Whether every query also sees a trained key and value. Default false. */
  readonly addBiasKv?: boolean;
  /** Factor of what attention gives. Default 1 / √(dModel / nHead). */
  readonly scale?: number | null;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** Options of a call of {@link CumulativeTransformerEncoderLayerKV}. */
export interface CumulativeEncoderLayerCall {
  /** The last key that each query sees; see {@link CumulativeMask}. Not together with `isCausal`. */
  readonly mask?: CumulativeMask | null;
  /** Whether a position sees only those up to its own. Default false. */
  readonly isCausal?: boolean;
  /** Bool [batch, length], without batch [length]: true for padding, which takes no part. */
  readonly srcKeyPaddingMask?: Tensor | null;
  /** Whether to go on from the layer's own cache. Default false. */
  readonly useKvCache?: boolean;
  /** Whether to remember what was seen in the layer's own cache. Default false. */
  readonly updateKvCache?: boolean;
  /** A state to go on from and to update in place, instead of the layer's own cache. */
  readonly state?: CumulativeState | null;
}

/**
 * An encoder layer with cumulative linear attention, drop-in for a PyTorch-style
 * `TransformerEncoderLayer`. Parameters and their names are those of the original Python class.
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
  /** Dropout between the two maps. */
  readonly dropout: Module & { forward(x: Tensor): Tensor };
  /** The second map of the feed-forward part. */
  readonly linear2: Linear;
  /** The norm of the attention. */
  readonly norm1: LayerNorm;
  /** The norm of the feed-forward part. */
  readonly norm2: LayerNorm;
  /** Dropout of what attention gives. */
  readonly dropout1: Module & { forward(x: Tensor): Tensor };
  /** Dropout of what the feed-forward part gives. */
  readonly dropout2: Module & { forward(x: Tensor): Tensor };
  /** What lies between the two maps. */
  readonly activation: Activation;
  /** Whether each part normalises what goes in. */
  readonly normFirst: boolean;
  /** What adds positions, or `null`. */
  readonly posEmb: PositionalEmbedding | null;

  /** @throws XError `argument` if a size is out of range or `nHead` does not divide `dModel` */
  constructor(options: CumulativeEncoderLayerOptions) {
    super();
    const { dModel, nHead, dimFeedforward = 2048, dropout = 0.1, layerNormEps = 1e-5 } = options;
    const { bias = true, activation = "relu" } = options;
    check(
      Number.isInteger(dimFeedforward) && dimFeedforward >= 1,
      "argument",
      () =>
        `CumulativeTransformerEncoderLayerKV: dimFeedforward must be a whole number of at least 1, got ${dimFeedforward}. Correct it.`,
    );
    this.selfAttn = new CumulativeLinearMultiheadAttentionKV(dModel, nHead, {
      dropout,
      bias,
      layerNormEps,
      batchFirst: options.batchFirst ?? false,
      normQ: options.normQ ?? null,
      normK: options.normK ?? null,
      normV: options.normV ?? null,
      addBiasKv: options.addBiasKv ?? false,
      scale: options.scale ?? null,
      compat: options.compat ?? null,
    });
    this.linear1 = new Linear(dModel, dimFeedforward, { bias });
    this.dropout = new Dropout(dropout);
    this.linear2 = new Linear(dimFeedforward, dModel, { bias });
    this.norm1 = new LayerNorm(dModel, { eps: layerNormEps, bias });
    this.norm2 = new LayerNorm(dModel, { eps: layerNormEps, bias });
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
    this.activation = activationByName(activation);
    this.normFirst = options.normFirst ?? false;
    this.posEmb = options.posEmb ?? null;
  }

  /**
   * From [length, batch, dModel], with `batchFirst` [batch, length, dModel], without batch
   * [length, dModel], to the same shape.
   */
  forward(src: Tensor, options: CumulativeEncoderLayerCall = {}): Tensor {
    const { norm1, norm2 } = this;
    const placed = this.place(src, options);
    if (this.normFirst) {
      const x = placed.add(this.attend(norm1.forward(placed), options));
      return x.add(this.feedForward(norm2.forward(x)));
    }
    const x = norm1.forward(placed.add(this.attend(placed, options)));
    return norm2.forward(x.add(this.feedForward(x)));
  }

  /** A state before the first token. */
  initState(batch: number): CumulativeState {
    return this.selfAttn.initState(batch);
  }

  /** Forgets what calls with `updateKvCache` remembered. */
  clearKvCache(): void {
    this.selfAttn.clearKvCache();
  }

  private attend(x: Tensor, options: CumulativeEncoderLayerCall): Tensor {
    return this.dropout1.forward(this.selfAttn.forward(x, x, x, options));
  }

  /** Adds positions, going on where the state or cache stands. */
  private place(
    x: Tensor,
    { state = null, useKvCache = false }: CumulativeEncoderLayerCall,
  ): Tensor {
    if (this.posEmb === null) return x;
    const { compat, kvCache, batchFirst } = this.selfAttn;
    const from = state ?? (useKvCache ? kvCache : null);
    const options = from === null || compat !== null ? {} : { offset: from.position.detach() };
    if (x.rank === 2) return this.posEmb.forward(x.unsqueeze(0), options).squeeze(0);
    if (batchFirst) return this.posEmb.forward(x, options);
    return this.posEmb.forward(x.transpose(0, 1), options).transpose(0, 1);
  }

  private feedForward(x: Tensor): Tensor {
    const inner = this.dropout.forward(this.activation(this.linear1.forward(x)));
    return this.dropout2.forward(this.linear2.forward(inner));
  }
}
