/** The same GPT and training step in `@x/tensor`. */

import { crossEntropy, fromData, linear, type Tensor } from "@x/tensor";
import {
  Embedding,
  init,
  LearnedPositionalEncoding,
  Linear,
  Module,
  TransformerEncoder,
  TransformerEncoderLayer,
} from "@x/tensor/nn";
import { AdamW } from "@x/tensor/optim";
import type { Prepared, TrainTask } from "./peer.js";

class Gpt extends Module {
  readonly embedding: Embedding;
  readonly positions: LearnedPositionalEncoding;
  readonly encoder: TransformerEncoder;
  readonly head: Linear;

  constructor({ vocabulary, width, context, layers, heads }: TrainTask) {
    super();
    this.embedding = new Embedding(vocabulary, width);
    this.positions = new LearnedPositionalEncoding(context, width);
    const layer = new TransformerEncoderLayer({
      dModel: width,
      nHead: heads,
      dimFeedforward: 4 * width,
      activation: "gelu",
      dropout: 0,
      batchFirst: true,
      normFirst: true,
      bias: false,
    });
    this.encoder = new TransformerEncoder(layer, { numLayers: layers });
    this.head = new Linear(width, vocabulary, { bias: false });
    for (const parameter of this.parameters()) {
      if (parameter.rank > 1) init.normal(parameter, 0, 0.02);
    }
  }

  forward(tokens: Tensor): Tensor {
    const x = this.positions.forward(this.embedding.forward(tokens));
    return linear(this.encoder.forward(x, { isCausal: true }), this.head.weight);
  }
}

/** Prepares the training step. */
export function trainGpt(task: TrainTask, tokens: Int32Array): Prepared {
  return trainModel(new Gpt(task), task, tokens);
}

/** Prepares the training step of a model of tokens. */
export function trainModel(
  model: Module & { forward(tokens: Tensor): Tensor },
  task: TrainTask,
  tokens: Int32Array,
): Prepared {
  const { batch, context, rate } = task;
  const optimizer = new AdamW(model.parameters(), { lr: rate, weightDecay: 0 });
  const inputs = fromData(tokens.slice(0, batch * context), [batch, context]);
  const targets = fromData(tokens.slice(1), [batch * context]);
  let latest = NaN;
  return {
    run: async () => {
      const logits = model.forward(inputs);
      const loss = crossEntropy(logits.reshape([batch * context, -1]), targets);
      optimizer.zeroGrad();
      loss.backward();
      await optimizer.step();
      latest = await loss.item();
    },
    result: () => Promise.resolve(Float32Array.of(latest)),
    release: () => undefined,
  };
}
