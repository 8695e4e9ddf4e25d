/** The language model: tokens, positions, the transformer and logits. */

import type { Tensor } from "@x/tensor";
import type { AttentionState } from "@x/tensor/nn";
import {
  checkNumbers,
  Embedding,
  Identity,
  LayerNorm,
  Linear,
  Module,
  multipleOf,
  withUpdates,
} from "../engine.js";
import { checkAxes, checkCounts } from "../checks.js";
import { AbsolutePositionalEmbedding } from "../embedding/absolute.js";
import { AxialPositionalEmbedding } from "../embedding/axial.js";
import { FixedPositionalEmbedding } from "../embedding/fixed.js";
import type { LayerCall } from "../stack/layer.js";
import { ProjectInOut } from "../stack/pre-norm.js";
import { checkState, nextPosition, startPosition } from "../state.js";
import type { LinearAttentionTransformerLMOptions } from "./options.js";
import { LinearAttentionTransformer, type TransformerStateOptions } from "./transformer.js";

const owner = "LinearAttentionTransformerLM";

/** What is remembered of the tokens so far. */
export interface LanguageModelState extends AttentionState {
  /** How many tokens were seen, padding included; int32 []. */
  readonly position: Tensor;
}

/** What a call may come with besides the tokens. */
export interface LanguageModelCall extends Omit<LayerCall, "posEmb" | "axialPosEmb" | "state"> {
  /** What is remembered of the tokens before; it is updated in place. */
  readonly state?: LanguageModelState | null;
}

/**
 * A language model, or with `returnEmbeddings` an encoder, around a
 * {@link LinearAttentionTransformer}: embeddings of tokens and positions are added, and what comes out
 * is normalised and mapped to logits.
 *
 * For training and generation put it into an {@link AutoregressiveWrapper}, which also takes care of
 * the length.
 *
 * @example
 * ```ts
 * const model = new LinearAttentionTransformerLM({
 *   numTokens: 100,
 *   dim: 32,
 *   depth: 2,
 *   maxSeqLen: 128,
 *   heads: 4,
 *   causal: true,
 * }).eval();
 * const tokens = randint(100, [1, 12]);
 * const whole = model.forward(tokens);
 *
 * const state = model.initState(1);
 * const prompt = model.forward(tokens.narrow(1, 0, 11), { state });
 * const next = model.forward(tokens.narrow(1, 11, 1), { state });
 * const difference = cat([prompt, next], 1).sub(whole).abs().max();
 * console.log((await difference.item()) < 1e-4, await state.position.item()); // → true 12
 * ```
 */
export class LinearAttentionTransformerLM extends Module {
  /** The longest sequence. */
  readonly maxSeqLen: number;
  /** The vectors of the tokens. */
  readonly tokenEmb: Embedding;
  /** The vectors of the positions. */
  readonly posEmb:
    AxialPositionalEmbedding | AbsolutePositionalEmbedding | FixedPositionalEmbedding;
  /** By what queries and keys are rotated, or `null`. */
  readonly layerPosEmb: FixedPositionalEmbedding | null;
  /** The same for axial layers, where their heads have another size; else `null`. */
  private readonly axialPosEmb: FixedPositionalEmbedding | null;
  /** The transformer, with maps on both sides where embeddings have another size. */
  readonly transformer: LinearAttentionTransformer | ProjectInOut<LinearAttentionTransformer>;
  /** The norm at the end. */
  readonly norm: LayerNorm;
  /** To the logits, or nothing with `returnEmbeddings`. */
  readonly out: Linear | Identity;

  /** @throws XError `argument` if an option is out of range or options contradict each other */
  constructor(options: LinearAttentionTransformerLMOptions) {
    super();
    const { numTokens, returnEmbeddings = false } = options;
    const { useAxialPosEmb = true, useRotaryEmb = false } = options;
    const transformer = new LinearAttentionTransformer({
      ...options,
      dimHead: options.dimHead ?? 64,
    });
    const { axialDimHead, plan } = transformer;
    const { dim, dimHead, maxSeqLen, localAttnWindowSize, nLocalAttnHeads, attendAxially } = plan;
    const embDim = options.embDim ?? dim;
    checkCounts(owner, { numTokens, embDim });
    if (nLocalAttnHeads.some((number) => number > 0)) {
      checkNumbers(owner, multipleOf(localAttnWindowSize, "localAttnWindowSize"), { maxSeqLen });
    }
    this.maxSeqLen = maxSeqLen;
    this.tokenEmb = new Embedding(numTokens, embDim);
    if (useRotaryEmb) {
      this.posEmb = new FixedPositionalEmbedding(embDim, maxSeqLen);
    } else if (useAxialPosEmb) {
      const rows = Math.ceil(maxSeqLen / localAttnWindowSize);
      this.posEmb = new AxialPositionalEmbedding(embDim, [rows, localAttnWindowSize]);
    } else {
      this.posEmb = new AbsolutePositionalEmbedding(embDim, maxSeqLen);
    }
    this.layerPosEmb = useRotaryEmb ? new FixedPositionalEmbedding(dimHead, maxSeqLen) : null;
    this.axialPosEmb =
      useRotaryEmb && attendAxially && axialDimHead !== dimHead
        ? new FixedPositionalEmbedding(axialDimHead, maxSeqLen, { persistent: false })
        : null;
    this.transformer =
      embDim === dim
        ? transformer
        : new ProjectInOut(transformer, embDim, dim, { projectOut: !returnEmbeddings });
    const outDim = returnEmbeddings ? dim : embDim;
    this.norm = new LayerNorm(outDim);
    this.out = returnEmbeddings ? new Identity() : new Linear(outDim, numTokens);
  }

  /** The transformer itself. */
  get inner(): LinearAttentionTransformer {
    const { transformer } = this;
    return transformer instanceof ProjectInOut ? transformer.fn : transformer;
  }

  /**
   * From tokens, int32 [batch, length], to logits [batch, length, numTokens], or to embeddings
   * [batch, length, dim]. Without a state the length is a multiple of `inner.padToMultiple`; see
   * {@link Autopadder}.
   *
   * With a state the tokens follow those of the calls before, one or more at a time, and the result is
   * the same as that of one call for all. The state changes when the result, or anything that depends
   * on it, is computed; compute it before the next call where compiling again is to be avoided.
   * Positions end at `maxSeqLen`: what comes after has the position of the last.
   *
   * @throws XError `shape` if a tensor does not fit or the state lacks one; `argument` if there are
   * more tokens than positions or a context is missing
   */
  forward(tokens: Tensor, call: LanguageModelCall = {}): Tensor {
    checkAxes(owner, "tokens", tokens, ["batch", "length"], "int32");
    const { state = null } = call;
    if (state !== null) checkState(owner, state, { position: startPosition() });
    const places = state === null ? {} : { offset: state.position };
    const vectors = this.tokenEmb.forward(tokens);
    const x = vectors.add(this.posEmb.forward(vectors, places));
    const posEmb = this.layerPosEmb?.forward(vectors, places) ?? null;
    const axialPosEmb = this.axialPosEmb?.forward(vectors, places) ?? null;
    const y = this.transformer.forward(x, { ...call, posEmb, axialPosEmb });
    const output = this.out.forward(this.norm.forward(y));
    if (state === null) return output;
    return withUpdates(output, [nextPosition(state.position, tokens.shape[1]!)]);
  }

  /**
   * What is remembered before the first token of `batch` sequences, of constant size: `position`, and
   * tensors whose names begin with the layer, such as `layers.0.0.…`. Copy it with `forkState` of
   * `@x/tensor/nn` to go on in two ways.
   *
   * @throws XError `argument` if the model has none: if it is not causal, attends axially or reproduces
   * the original
   */
  initState(batch: number = 1, options: TransformerStateOptions = {}): LanguageModelState {
    const { inner } = this;
    const state = inner.initState(batch, options);
    return { ...state, position: startPosition(inner.device) };
  }
}
