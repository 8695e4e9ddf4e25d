/** A language model as small as can be, with all that generation needs to know of one. */

import { arange, embedding, fromData, getDevice, ones, zeros, type Tensor } from "@x/tensor";
import { Module, Parameter, SoftmaxAttention, withUpdates, type SoftmaxState } from "@x/tensor/nn";
import { Generator, normal } from "@x/tensor/random";
import type { TransformerOptions } from "../src/config/fields.js";
import { TransformerConfig } from "../src/config/transformer-config.js";
import type {
  LanguageModel,
  LanguageModelCall,
  ModelState,
  ModelStateOptions,
} from "../src/model/language-model.js";

const dim = 8;
const heads = 2;

/** One layer of attention over tokens and learned positions, and a head. */
export class TinyLanguageModel extends Module implements LanguageModel {
  readonly config: TransformerConfig;
  readonly tokens: Parameter;
  readonly positions: Parameter;
  readonly head: Parameter;
  private readonly attention: SoftmaxAttention = new SoftmaxAttention({ scale: 2 });

  constructor(options: TransformerOptions = {}) {
    super();
    const { vocabSize = 11 } = options;
    this.config = new TransformerConfig({
      vocabSize,
      outputDim: vocabSize,
      dModel: dim,
      nHeads: heads,
      nLayers: 1,
      ...options,
    });
    const generator = new Generator(1);
    const weight = (rows: number, std: number): Parameter =>
      new Parameter(normal(0, std, [rows, dim], { generator }));
    this.tokens = weight(vocabSize!, 1);
    this.positions = weight(this.config.maxSeqLen, 1.2);
    this.head = weight(vocabSize!, 0.7);
  }

  forward(tokens: Tensor, call: LanguageModelCall = {}): Tensor {
    return this.hidden(tokens, call).matmul(this.head.t());
  }

  next(tokens: Tensor, call: LanguageModelCall = {}): Tensor {
    const places = arange(1, tokens.shape[1]! + 1, 1, { dtype: "int32" });
    const real = call.keyMask?.int() ?? ones(tokens.shape, { dtype: "int32" });
    const last = real.mul(places).argmax(1).reshape([-1, 1, 1]);
    const hidden = this.hidden(tokens, call);
    const index = last.expand([tokens.shape[0]!, 1, dim]);
    return hidden.gather(1, index).squeeze(1).matmul(this.head.t());
  }

  initState({ batch, capacity, masked, device = getDevice() }: ModelStateOptions): ModelState {
    const { maxSeqLen } = this.config;
    const state = this.attention.initState({
      batch,
      heads,
      headDim: dim / heads,
      capacity: capacity ?? maxSeqLen,
      masked: masked ?? false,
      device,
    });
    return { ...state, position: fromData(new Int32Array(batch), [batch], { device }) };
  }

  private hidden(tokens: Tensor, { keyMask = null, state = null }: LanguageModelCall): Tensor {
    const [batch, length] = tokens.shape as [number, number];
    const real = (keyMask ?? ones([batch, length], { dtype: "bool" })).int();
    const start = state?.position ?? zeros([batch], { dtype: "int32" });
    const places = real.cumsum(1).sub(1).add(start.unsqueeze(1)).maximum(0);
    const x = embedding(tokens, this.tokens).add(embedding(places, this.positions));
    const split = x.reshape([batch, length, heads, dim / heads]).transpose(1, 2);
    const options = { keyMask, isCausal: true };
    const attended =
      state === null
        ? this.attention.forward(split, split, split, options)
        : // A state of this model has what its attention put there.
          this.attention.step(split, split, split, state as unknown as SoftmaxState, options);
    const y = x.add(attended.transpose(1, 2).reshape([batch, length, dim]));
    return state === null ? y : withUpdates(y, [[state.position, start.add(real.sum(1))]]);
  }
}
