/** The layers of encoders and decoders. */

import { dropout, type Tensor } from "@x/tensor";
import { Module, type AttentionState, type LayerNorm, type RMSNorm } from "@x/tensor/nn";
import type { TransformerConfig } from "../config/transformer-config.js";
import type { AttentionCall, MultiHeadAttention } from "./attention.js";
import { makeNorm } from "./norm.js";
import { makeAttention, makeFeedForward, type FeedForwardPart, type ModelParts } from "./parts.js";
import type { Visibility } from "./visibility.js";

/** What layers are given besides the vectors. */
export interface LayerCall extends Pick<AttentionCall, "keyMask" | "isCausal" | "rotate" | "mask"> {
  readonly visibility: Visibility;
  readonly state?: AttentionState | null;
  /** Where the weights of the self-attention go, if they are wanted. */
  readonly weights?: Tensor[] | null;
}

/** What layers of a decoder are given besides. */
export interface DecoderLayerCall extends LayerCall {
  /** What is attended to, unless the state has its keys and values. */
  readonly memory: Tensor | null;
  readonly memoryVisibility: Visibility;
  readonly memoryState?: AttentionState | null;
  /** Where the weights of the cross-attention go, if they are wanted. */
  readonly memoryWeights?: Tensor[] | null;
}

/** Parts with residual connections, each with a norm. */
abstract class ResidualLayer extends Module {
  /** Whether each part normalises what goes in, not the sum that comes out. */
  readonly preNorm: boolean;
  /** The probability with which an element of what a part gives is dropped, in training. */
  readonly dropout: number;

  constructor({ preNorm, dropout: p }: TransformerConfig) {
    super();
    this.preNorm = preNorm;
    this.dropout = p;
  }

  /** `x` with what a part makes of it. */
  protected residual(x: Tensor, norm: Norm, part: (x: Tensor) => Tensor): Tensor {
    const { preNorm, dropout: p, training } = this;
    const y = dropout(part(preNorm ? norm.forward(x) : x), { p, training });
    return preNorm ? x.add(y) : norm.forward(x.add(y));
  }
}

type Norm = LayerNorm | RMSNorm;

/** What attention gives; its weights go into a list, if there is one. */
function attend(
  attention: MultiHeadAttention,
  x: Tensor,
  call: AttentionCall,
  weights: Tensor[] | null | undefined,
): Tensor {
  if (!weights) return attention.forward(x, call);
  const result = attention.forwardWithWeights(x, call);
  weights.push(result.weights);
  return result.output;
}

/** A layer of an encoder: attention and a feed-forward part. */
export class EncoderLayer extends ResidualLayer {
  /** The attention of the positions to each other. */
  readonly selfAttention: MultiHeadAttention;
  /** The feed-forward part; another module may take its place. */
  feedForward: FeedForwardPart;
  /** The norm of the attention. */
  readonly norm1: Norm;
  /** The norm of the feed-forward part. */
  readonly norm2: Norm;

  /** @param layer its number, from 0 */
  constructor(config: TransformerConfig, layer: number = 0, parts: ModelParts = {}) {
    super(config);
    const place = { layer, kind: "self", config } as const;
    this.selfAttention = makeAttention(place, parts);
    this.feedForward = makeFeedForward(place, parts);
    this.norm1 = makeNorm(config.dModel, config);
    this.norm2 = makeNorm(config.dModel, config);
  }

  /** From [batch, length, dModel] to the same shape. */
  forward(x: Tensor, { weights, ...call }: LayerCall): Tensor {
    const attended = this.residual(x, this.norm1, (y) =>
      attend(this.selfAttention, y, call, weights),
    );
    return this.residual(attended, this.norm2, (y) => this.feedForward.forward(y));
  }
}

/** A layer of a decoder: attention, attention to a memory, and a feed-forward part. */
export class DecoderLayer extends ResidualLayer {
  /** The attention of the positions to each other. */
  readonly selfAttention: MultiHeadAttention;
  /** The attention to the memory. */
  readonly crossAttention: MultiHeadAttention;
  /** The feed-forward part; another module may take its place. */
  feedForward: FeedForwardPart;
  /** The norm of the attention. */
  readonly norm1: Norm;
  /** The norm of the attention to the memory. */
  readonly norm2: Norm;
  /** The norm of the feed-forward part. */
  readonly norm3: Norm;

  /** @param layer its number, from 0 */
  constructor(config: TransformerConfig, layer: number = 0, parts: ModelParts = {}) {
    super(config);
    const place = { layer, kind: "self", config } as const;
    this.selfAttention = makeAttention(place, parts);
    this.crossAttention = makeAttention({ ...place, kind: "cross" }, parts);
    this.feedForward = makeFeedForward(place, parts);
    this.norm1 = makeNorm(config.dModel, config);
    this.norm2 = makeNorm(config.dModel, config);
    this.norm3 = makeNorm(config.dModel, config);
  }

  /** From [batch, length, dModel] to the same shape. */
  forward(x: Tensor, call: DecoderLayerCall): Tensor {
    const { weights, memory, memoryVisibility, memoryState = null, memoryWeights, ...own } = call;
    const attended = this.residual(x, this.norm1, (y) =>
      attend(this.selfAttention, y, own, weights),
    );
    const cross = { memory, visibility: memoryVisibility, state: memoryState };
    const informed = this.residual(attended, this.norm2, (y) =>
      attend(this.crossAttention, y, cross, memoryWeights),
    );
    return this.residual(informed, this.norm3, (y) => this.feedForward.forward(y));
  }
}
