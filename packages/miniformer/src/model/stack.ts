/** What encoders and decoders have in common: embeddings, layers, and what is remembered. */

import {
  checkpoint,
  dropout,
  fromData,
  getDevice,
  zeros,
  type Device,
  type Tensor,
} from "@x/tensor";
import { check, checkNumbers, count, formatShape } from "@x/tensor/checks";
import {
  Embedding,
  knownLength,
  Linear,
  Module,
  type LayerNorm,
  type ModuleList,
  type RMSNorm,
  type RotaryEmbedding,
} from "@x/tensor/nn";
import type { TransformerConfig } from "../config/transformer-config.js";
import type { MultiHeadAttention } from "./attention.js";
import type { ModelState, ModelStateOptions } from "./language-model.js";
import type { LayerCall } from "./layer.js";
import { makeNorm } from "./norm.js";
import { addPositions, countPositions, type PositionEncoding } from "./positions.js";
import { makeRotary, rotationBy } from "./rotary.js";
import { groupByLayer, layerState } from "./state.js";
import { Visibility } from "./visibility.js";

/** What a call of a stack of layers may come with. */
export interface StackCall {
  /** Bool [batch, length]: true for real positions, false for padding. Default: all are real. */
  readonly keyMask?: Tensor | null;
  /**
   * Bool, true where a position may see another, or float32, added to the scores; broadcastable to
   * [batch, heads, length, length]. Softmax attention only.
   */
  readonly mask?: Tensor | null;
  /** Whether positions see only those before. Default: with a `mask` false, else as configured. */
  readonly isCausal?: boolean;
  /** What is remembered of the positions before; updated in place when the result is computed. */
  readonly state?: ModelState | null;
  /** int32 [batch, length], for models with kinds of tokens. Default: all 0. */
  readonly tokenTypes?: Tensor | null;
}

/** The results of the layers, before the last norm, and what else the call has to do. */
export interface StackResult {
  readonly x: Tensor;
  /** The key mask of the call, perhaps one that was made for it. */
  readonly keyMask: Tensor | null;
  /** Makes the updates of the state with whatever is computed of the result. */
  readonly finish: (output: Tensor) => Tensor;
}

/** A layer, as far as the stack needs to know it. */
export interface StackLayer extends Module {
  readonly selfAttention: MultiHeadAttention;
}

/** A stack of layers on embeddings. */
export abstract class Stack<Layer extends StackLayer> extends Module {
  /** What it is made of. */
  readonly config: TransformerConfig;
  /** The vectors of tokens; `null` for a model of features. */
  readonly tokenEmbedding: Embedding | null;
  /** From feature vectors; `null` for a model of tokens. */
  readonly inputProjection: Linear | null;
  /** The vectors of the kinds of tokens, or `null`. */
  readonly tokenTypeEmbedding: Embedding | null;
  /** The norm after the embeddings, or `null`. */
  readonly embeddingNorm: LayerNorm | RMSNorm | null;
  /** What turns queries and keys, or `null`. */
  readonly rotary: RotaryEmbedding | null;
  /** The layers in the order in which they are applied. */
  abstract readonly layers: ModuleList<Layer>;
  /** The norm after the last layer, or `null`. */
  readonly norm: LayerNorm | RMSNorm | null;
  private readonly owner: string;

  constructor(owner: string, config: TransformerConfig, embedding: Embedding | null) {
    super();
    const { vocabSize, inputDim, dModel, tokenTypes } = config;
    check(
      vocabSize === null || inputDim === null,
      "argument",
      () =>
        `${owner}: vocabSize or inputDim must be null, since its input is either tokens or feature vectors, got ${vocabSize} and ${inputDim}. Leave one of them out.`,
    );
    this.owner = owner;
    this.config = config;
    this.tokenEmbedding =
      vocabSize === null ? null : (embedding ?? new Embedding(vocabSize, dModel));
    this.inputProjection = inputDim === null ? null : new Linear(inputDim, dModel);
    this.tokenTypeEmbedding = tokenTypes === 0 ? null : new Embedding(tokenTypes, dModel);
    this.embeddingNorm = config.embeddingNorm ? makeNorm(dModel, config) : null;
    this.rotary = makeRotary(config);
    this.norm = config.finalNorm ? makeNorm(dModel, config) : null;
  }

  /** What is added to the embeddings, or `null`. */
  protected abstract get positionEncodingOrNull(): PositionEncoding | null;

  /** The last norm. */
  finalNorm(x: Tensor): Tensor {
    return this.norm?.forward(x) ?? x;
  }

  /**
   * What is remembered before the first token.
   *
   * @throws XError `argument` if the model is not causal, or a layer's mechanism has no state
   */
  protected makeState(wanted: ModelStateOptions): ModelState {
    const { owner, config } = this;
    const { batch, capacity, device } = wanted;
    // Padding is then masked without being asked.
    const isMasking = config.compat !== null && config.padTokenId !== null;
    const masked = wanted.masked ?? isMasking;
    const places = capacity ?? config.maxSeqLen;
    checkNumbers(owner, count, { batch, capacity: places });
    this.checkCausal(config.causal);
    const options = { batch, capacity: places, masked, device: device ?? this.device };
    const integers = (shape: number[]): Tensor =>
      fromData(new Int32Array(shape[0] ?? 1), shape, { device: options.device });
    const hasKeys = this.attentions.some(({ mechanism }) => mechanism === null);
    return {
      position: integers([batch]),
      length: integers([]),
      ...(masked &&
        hasKeys && { mask: zeros([batch, places], { dtype: "bool", device: options.device }) }),
      ...layerState(this.attentions.map((attention) => attention.initLayerState(options))),
    };
  }

  /** @internal The results of the layers. */
  protected computeWith(
    input: Tensor,
    call: StackCall,
    weights: Tensor[] | null,
    run: (layer: Layer, x: Tensor, own: LayerCall) => Tensor,
  ): StackResult {
    const { config, owner } = this;
    const { state = null, mask = null, isCausal = mask === null && config.causal } = call;
    const [batch, length] = this.checkInput(input);
    const keyMask = call.keyMask ?? this.paddingOf(input, call);
    if (state !== null) this.checkState(state, batch, isCausal);
    const counted = countPositions(length, config.compat === null ? keyMask : null, state);
    this.checkLength(length, keyMask, state);

    const parts = state && groupByLayer(state);
    const attentions = this.attentions;
    const softmaxLayer = attentions.findIndex(({ mechanism }) => mechanism === null);
    const visibility = new Visibility(owner, {
      batch,
      length,
      keyMask: softmaxLayer < 0 ? null : keyMask,
      mask,
      isCausal,
      state,
      capacity: parts?.[softmaxLayer]?.keys?.shape[2] ?? Infinity,
      slopedHeads: config.positions === "alibi" ? config.nHeads : 0,
      isExplicit: config.compat !== null,
    });
    const { rotary } = this;
    const rotate = rotary && rotationBy(rotary, config.rotaryScaling, counted.positions, length);
    const own: LayerCall = { visibility, keyMask, isCausal, rotate, weights, mask };
    const isCheckpointed = config.checkpoint && state === null && weights === null;
    let x = this.embed(input, call.tokenTypes ?? null, counted.positions);
    let i = 0;
    for (const layer of this.layers) {
      const part = parts?.[i++] ?? null;
      const step = (y: Tensor): Tensor => run(layer, y, { ...own, state: part });
      x = isCheckpointed ? checkpoint(step, x) : step(x);
    }
    return { x, keyMask, finish: (output) => visibility.finish(output, counted.updates) };
  }

  /** Whether masked padding before a sequence changes its results, as a layer's mechanism says. */
  get dependsOnPadding(): boolean {
    return this.attentions.some(({ mechanism }) => mechanism?.dependsOnPadding === true);
  }

  /** The device of the parameters. */
  protected get device(): Device {
    return this.parameters()[0]?.device ?? getDevice();
  }

  /** The self-attention of every layer. */
  protected get attentions(): readonly MultiHeadAttention[] {
    return [...this.layers].map(({ selfAttention }) => selfAttention);
  }

  private embed(input: Tensor, tokenTypes: Tensor | null, positions: Tensor | null): Tensor {
    const { tokenEmbedding, tokenTypeEmbedding, embeddingNorm, training, config } = this;
    const encoding = this.positionEncodingOrNull;
    let x: Tensor;
    if (tokenEmbedding === null) x = this.inputProjection!.forward(input);
    else {
      x = tokenEmbedding.forward(input);
      if (config.embeddingScale) x = x.mul(Math.sqrt(config.dModel));
    }
    if (encoding !== null) x = addPositions(x, encoding, positions);
    if (tokenTypeEmbedding !== null) {
      const vectors =
        tokenTypes === null
          ? tokenTypeEmbedding.weight.narrow(0, 0, 1)
          : tokenTypeEmbedding.forward(tokenTypes);
      x = x.add(vectors);
    }
    if (embeddingNorm !== null) x = embeddingNorm.forward(x);
    return dropout(x, { p: config.dropout, training });
  }

  /** Under `compat`, tokens that are padding are masked without being asked. */
  private paddingOf(input: Tensor, { mask, state }: StackCall): Tensor | null {
    const { compat, padTokenId, vocabSize } = this.config;
    const isAsked = compat !== null && padTokenId !== null && vocabSize !== null && !mask;
    return isAsked && (!state || "mask" in state) ? input.ne(padTokenId) : null;
  }

  private checkInput(input: Tensor): [batch: number, length: number] {
    const { vocabSize, inputDim } = this.config;
    const fits =
      vocabSize === null
        ? input.rank === 3 && input.shape[2] === inputDim
        : input.rank === 2 && input.dtype === "int32";
    check(fits && input.shape[0]! > 0 && input.shape[1]! > 0, "shape", () =>
      vocabSize === null
        ? `${this.owner}: the input must be [batch, length, ${inputDim}] with at least one position, got ${formatShape(input.shape)}. Reshape it.`
        : `${this.owner}: tokens must be int32 [batch, length] with at least one position, got ${input.dtype} ${formatShape(input.shape)}. Reshape or cast them.`,
    );
    return [input.shape[0]!, input.shape[1]!];
  }

  private checkCausal(isCausal: boolean): void {
    check(
      isCausal,
      "argument",
      () =>
        `${this.owner}: a decode state needs a causal model, got causal: false. Make the model with causal: true, or compute whole sequences.`,
    );
  }

  private checkState(state: ModelState, batch: number, isCausal: boolean): void {
    this.checkCausal(isCausal);
    const { position } = state as Partial<ModelState>;
    check(
      position?.dtype === "int32" && position.rank === 1 && position.shape[0] === batch,
      "argument",
      () =>
        `${this.owner}: a state for this input has its position as int32 [${batch}], got ${position === undefined ? "none" : `${position.dtype} ${formatShape(position.shape)}`}. Make it with initState() for that batch.`,
    );
  }

  /** Checks, as far as that can be seen, that there is a vector for every position. */
  private checkLength(length: number, keyMask: Tensor | null, state: ModelState | null): void {
    const { positions, maxSeqLen } = this.config;
    const taken = state?.length;
    const before =
      taken === undefined || keyMask !== null || "mask" in state! ? 0 : (knownLength(taken) ?? 0);
    check(
      positions !== "learned" || before + length <= maxSeqLen || keyMask !== null,
      "argument",
      () =>
        `${this.owner}: learned positions end at maxSeqLen ${maxSeqLen}, got ${before + length} tokens. Make the model with more, or shorten the input.`,
    );
  }
}
