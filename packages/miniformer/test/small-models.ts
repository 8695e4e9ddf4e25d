/** Models so small that a training step takes about a millisecond. */

import type { Tensor } from "@x/tensor";
import { Dropout, Embedding, LayerNorm, Linear, Module } from "@x/tensor/nn";

/** Predicts each token from the one before it. */
export class SmallLanguageModel extends Module {
  readonly embedding: Embedding;
  readonly norm: LayerNorm;
  readonly linear: Linear;
  readonly dropout: Dropout;
  readonly head: Linear;

  constructor(vocabulary: number = 16, dropout: number = 0.1) {
    super();
    this.embedding = new Embedding(vocabulary, 8);
    this.norm = new LayerNorm(8);
    this.linear = new Linear(8, 12);
    this.dropout = new Dropout(dropout);
    this.head = new Linear(12, vocabulary);
  }

  forward(tokens: Tensor): Tensor {
    const x = this.norm.forward(this.embedding.forward(tokens));
    return this.head.forward(this.dropout.forward(this.linear.forward(x).gelu()));
  }
}

/** The mean of the vectors of a sequence that are no padding, through a linear map. */
export class MeanModel extends Module {
  readonly linear: Linear;

  constructor(inputDim: number, outputs: number) {
    super();
    this.linear = new Linear(inputDim, outputs);
  }

  forward(x: Tensor, { keyMask = null }: { readonly keyMask?: Tensor | null } = {}): Tensor {
    if (keyMask === null) return this.linear.forward(x.mean(1));
    const weights = keyMask.cast("float32").unsqueeze(-1);
    return this.linear.forward(x.mul(weights).sum(1).div(weights.sum(1)));
  }
}

/** Tokens in which each follows from the one before, but for some noise. */
export function walk(length: number, vocabulary: number = 16): Uint8Array {
  let token = 1;
  return Uint8Array.from({ length }, (_, i) => {
    token = (token * 5 + 3 + (i % 11 === 0 ? 1 : 0)) % vocabulary;
    return token;
  });
}
