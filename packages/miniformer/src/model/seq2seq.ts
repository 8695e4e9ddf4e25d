/** The encoder–decoder. */

import { getDevice, noGrad, zeros, type Tensor } from "@x/tensor";
import { check } from "@x/tensor/checks";
import { Module } from "@x/tensor/nn";
import type { TransformerConfig } from "../config/transformer-config.js";
import { Decoder, type WeightedDecoding } from "./decoder.js";
import { Encoder } from "./encoder.js";
import type {
  LanguageModel,
  LanguageModelCall,
  ModelState,
  ModelStateOptions,
} from "./language-model.js";
import type { ModelParts } from "./parts.js";

const owner = "Seq2SeqTransformer";

/** What a call of an encoder–decoder may come with. */
export interface Seq2SeqCall {
  /** Bool [batch, source length]: true for real positions of the source. Default: all are real. */
  readonly sourceKeyMask?: Tensor | null;
  /** Bool [batch, target length]: true for real positions of the target. Default: all are real. */
  readonly targetKeyMask?: Tensor | null;
}

/** A source, for {@link Seq2SeqTransformer.bind}. */
export interface BindOptions {
  /** Bool [batch, source length]: true for real positions of the source. Default: all are real. */
  readonly keyMask?: Tensor | null;
}

/**
 * An encoder that reads a source and a decoder that writes a target, position by position, while it
 * attends to what the encoder made. Source and target are tokens or feature vectors; where both
 * `vocabSize` and `inputDim` are given, the source is feature vectors and the target tokens.
 *
 * For generation, {@link Seq2SeqTransformer.bind} gives a language model of one source.
 *
 * @example
 * ```ts
 * const config = new TransformerConfig({
 *   vocabSize: 30,
 *   outputDim: 30,
 *   dModel: 16,
 *   nHeads: 2,
 *   nLayers: 2,
 *   maxSeqLen: 20,
 * });
 * const model = new Seq2SeqTransformer(config).eval();
 * const source = randint(30, [1, 9]);
 * const target = randint(30, [1, 6]);
 * const whole = model.forward(source, target);
 *
 * const bound = model.bind(source);
 * const state = bound.initState({ batch: 1 });
 * await bound.next(target.narrow(1, 0, 5), { state }).data();
 * const last = bound.next(target.narrow(1, 5, 1), { state });
 * const difference = last.sub(whole.narrow(1, 5, 1).squeeze(1)).abs().max();
 * console.log(whole.shape, (await difference.item()) < 1e-4); // → [ 1, 6, 30 ] true
 * ```
 *
 * @see Vaswani et al.: Attention Is All You Need (2017)
 */
export class Seq2SeqTransformer extends Module {
  /** What it is made of. */
  config: TransformerConfig;
  /** Reads the source. */
  readonly encoder: Encoder;
  /** Writes the target. */
  readonly decoder: Decoder;

  /**
   * @param parts what makes parts of the layers in another way
   * @throws XError `argument` if a list has not an element for each layer of encoder and decoder
   */
  constructor(config: TransformerConfig, parts: ModelParts = {}) {
    super();
    this.config = config;
    const { vocabSize, inputDim, shareEmbeddings, useCausalMask, nDecoderLayers } = config;
    const hasBoth = vocabSize !== null && inputDim !== null;
    const source = config.with({
      ...(hasBoth && { vocabSize: null }),
      causal: false,
      outputDim: null,
      tieEmbeddings: false,
    });
    const target = config.with({
      ...(hasBoth && { inputDim: null }),
      causal: useCausalMask,
      nLayers: nDecoderLayers,
    });
    this.encoder = new Encoder(source, parts);
    this.decoder = new Decoder(target, parts, shareEmbeddings ? this.encoder.tokenEmbedding : null);
  }

  /**
   * From a source and a target, each tokens, int32 [batch, length], or feature vectors
   * [batch, length, inputDim], to outputs for every position of the target, [batch, length, outputs].
   *
   * @throws XError `shape`, `dtype` or `argument` if a tensor does not fit the model
   */
  forward(source: Tensor, target: Tensor, call: Seq2SeqCall = {}): Tensor {
    const memoryKeyMask = this.sourceMask(source, call);
    const memory = this.encoder.forward(source, { keyMask: memoryKeyMask });
    const { targetKeyMask: keyMask = null } = call;
    return this.decoder.forward(target, memory, { keyMask, memoryKeyMask });
  }

  /**
   * What `forward` gives, with the attention weights of the decoder's layers.
   *
   * @throws XError `argument` if a layer's attention is not that of softmax
   */
  forwardWithWeights(source: Tensor, target: Tensor, call: Seq2SeqCall = {}): WeightedDecoding {
    const memoryKeyMask = this.sourceMask(source, call);
    const memory = this.encoder.forward(source, { keyMask: memoryKeyMask });
    const { targetKeyMask: keyMask = null } = call;
    return this.decoder.forwardWithWeights(target, memory, { keyMask, memoryKeyMask });
  }

  /** What the decoder attends to, [batch, length, dModel]. */
  encode(source: Tensor, { keyMask = null }: BindOptions = {}): Tensor {
    return this.encoder.forward(source, {
      keyMask: this.sourceMask(source, { sourceKeyMask: keyMask }),
    });
  }

  /**
   * A language model of the targets of one source, for generation: the source is read once, without
   * gradients. Its batch may be that of the source or a multiple of it, such as for several beams: rows
   * `i · m … (i + 1) · m − 1` belong to row `i` of the source.
   */
  bind(source: Tensor, { keyMask = null }: BindOptions = {}): BoundSeq2Seq {
    return new BoundSeq2Seq(this, source, this.sourceMask(source, { sourceKeyMask: keyMask }));
  }

  /** Under `compat`, tokens that are padding are masked without being asked. */
  private sourceMask(source: Tensor, { sourceKeyMask = null }: Seq2SeqCall): Tensor | null {
    const { compat, padTokenId } = this.config;
    const isMasking =
      compat !== null && padTokenId !== null && this.encoder.tokenEmbedding !== null;
    return sourceKeyMask ?? (isMasking ? source.ne(padTokenId) : null);
  }
}

/** An encoder–decoder with its source: a language model of the targets. */
export class BoundSeq2Seq extends Module implements LanguageModel {
  /** The encoder–decoder. */
  readonly model: Seq2SeqTransformer;
  /** What the decoder attends to, [batch, length, dModel]. */
  private readonly memory: Tensor;
  private readonly memoryKeyMask: Tensor | null;

  /** @internal Made by `bind`. */
  constructor(model: Seq2SeqTransformer, source: Tensor, keyMask: Tensor | null) {
    super();
    this.model = model;
    this.training = model.training;
    const memory = noGrad(() => model.encoder.forward(source, { keyMask }));
    const device = model.parameters()[0]?.device ?? getDevice();
    // Stored when it is first used, not computed again with every call.
    this.memory = zeros(memory.shape, { device }).assign(memory);
    this.memoryKeyMask = keyMask;
  }

  /** What the model is made of. */
  get config(): TransformerConfig {
    return this.model.config;
  }

  /** From the target so far, or its next tokens, int32 [batch, length], to [batch, length, outputs]. */
  forward(tokens: Tensor, { keyMask = null, state = null }: LanguageModelCall = {}): Tensor {
    return this.model.decoder.forward(tokens, ...this.callFor(tokens, keyMask, state));
  }

  /** What `forward` gives for the last real token of each sequence, [batch, outputs]. */
  next(tokens: Tensor, { keyMask = null, state = null }: LanguageModelCall = {}): Tensor {
    return this.model.decoder.next(tokens, ...this.callFor(tokens, keyMask, state));
  }

  /**
   * What is remembered before the first token of the target, with keys and values of the source.
   *
   * @throws XError `argument` if the batch is not a multiple of that of the source
   */
  initState(options: ModelStateOptions): ModelState {
    const { memory, memoryKeyMask } = this;
    return noGrad(() =>
      this.model.decoder.initState({
        ...options,
        memory: rowsFor(memory, options.batch),
        memoryKeyMask: memoryKeyMask && rowsFor(memoryKeyMask, options.batch),
      }),
    );
  }

  private callFor(
    tokens: Tensor,
    keyMask: Tensor | null,
    state: ModelState | null,
  ): Parameters<Decoder["forward"]> extends [Tensor, ...infer Rest] ? Rest : never {
    if (state !== null) return [null, { keyMask, state }];
    const batch = tokens.shape[0]!;
    const { memory, memoryKeyMask } = this;
    return [
      rowsFor(memory, batch),
      { keyMask, memoryKeyMask: memoryKeyMask && rowsFor(memoryKeyMask, batch) },
    ];
  }
}

/** Each row so often that there are `batch` of them. */
function rowsFor(x: Tensor, batch: number): Tensor {
  const rows = x.shape[0]!;
  check(
    batch > 0 && batch % rows === 0,
    "shape",
    () =>
      `${owner}: the batch must be a multiple of that of the source, ${rows}, got ${batch}. Bind a source with fewer rows.`,
  );
  return batch === rows ? x : x.repeatInterleave(batch / rows, 0);
}
