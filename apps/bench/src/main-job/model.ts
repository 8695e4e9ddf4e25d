/** The language model: bytes in, the probabilities of the next byte out. */

import type { Tensor } from "@x/tensor";
import {
  Embedding,
  init,
  LayerNorm,
  Linear,
  Module,
  SinusoidalPositionalEncoding,
} from "@x/tensor/nn";
import {
  CumulativeTransformerEncoderKV,
  CumulativeTransformerEncoderLayerKV,
  type CumulativeState,
} from "@x/trim";

/** The sizes of a model. */
export interface ModelShape {
  readonly width: number;
  readonly layers: number;
  /** The length it is trained on; attention is scaled by it. */
  readonly length: number;
}

/** What is trained and lets write: bytes [batch, length] in, the logits of the next ones out. */
export interface ByteLanguageModel<State = unknown> extends Module {
  /** [batch, length, 256] */
  forward(bytes: Tensor): Tensor;
  /** What is remembered of the bytes so far. */
  initState(batch: number): State;
  /** The logits of the byte after the last of `bytes`, [batch, 256]; updates the state in place. */
  step(bytes: Tensor, state: State): Tensor;
}

const vocabulary = 256;
const headSize = 32;

/** A causal encoder with cumulative linear attention over bytes. */
export class ByteModel extends Module implements ByteLanguageModel<CumulativeState> {
  readonly embedding: Embedding;
  readonly positions: SinusoidalPositionalEncoding;
  readonly encoder: CumulativeTransformerEncoderKV;
  readonly head: Linear;

  constructor({ width, layers, length }: ModelShape) {
    super();
    this.embedding = new Embedding(vocabulary, width);
    this.positions = new SinusoidalPositionalEncoding(width);
    const layer = new CumulativeTransformerEncoderLayerKV({
      dModel: width,
      nHead: width / headSize,
      dimFeedforward: 4 * width,
      dropout: 0,
      activation: "gelu",
      batchFirst: true,
      normFirst: true,
      // Without softmax, what attention gives grows with the number of keys: norms keep each
      // product in bounds and the scale their sum.
      normQ: true,
      normK: true,
      scale: 1 / Math.sqrt(headSize * length),
    });
    this.encoder = new CumulativeTransformerEncoderKV(layer, {
      numLayers: layers,
      norm: new LayerNorm(width),
    });
    this.head = new Linear(width, vocabulary);
    for (const [name, parameter] of this.namedParameters()) {
      // Bytes must not drown in the positions, whose waves have amplitude 1.
      if (parameter.rank > 1) init.normal(parameter, 0, name === "embedding.weight" ? 2 : 0.08);
      // What is added to the residual stream starts small.
      if (/(out_proj|linear2)\.weight$/.test(name))
        init.normal(parameter, 0, 0.08 / Math.sqrt(2 * layers));
    }
  }

  /** The logits of the next bytes, [batch, length, 256], for bytes [batch, length]. */
  forward(bytes: Tensor): Tensor {
    const x = this.positions.forward(this.embedding.forward(bytes));
    return this.head.forward(this.encoder.forward(x, { isCausal: true }));
  }

  /** What the model remembers of the bytes so far. */
  initState(batch: number): CumulativeState {
    return this.encoder.initState(batch);
  }

  /** The logits of the byte after the last of `bytes`, [batch, 256]; updates the state in place. */
  step(bytes: Tensor, state: CumulativeState): Tensor {
    const { position: offset } = state;
    const x = this.positions.forward(this.embedding.forward(bytes), { offset });
    const y = this.encoder.forward(x, { isCausal: true, state });
    return this.head.forward(y.narrow(1, bytes.shape[1]! - 1, 1).squeeze(1));
  }
}
