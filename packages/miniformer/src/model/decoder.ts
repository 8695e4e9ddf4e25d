/** The decoder: layers that attend to their own positions and to a memory. */

import { zeros, type Tensor } from "@x/tensor";
import { check, checkKeyMask, checkLastAxis, formatShape } from "@x/tensor/checks";
import { ModuleList, type AttentionState, type Embedding, type TensorModule } from "@x/tensor/nn";
import type { TransformerConfig } from "../config/transformer-config.js";
import { initializeWeights } from "./initialize.js";
import type { ModelState, ModelStateOptions } from "./language-model.js";
import { DecoderLayer } from "./layer.js";
import type { ModelParts } from "./parts.js";
import { positionOf } from "./pooling.js";
import { makePositions, type PositionEncoding } from "./positions.js";
import { makeOutput } from "./output.js";
import { Stack, type StackCall, type StackResult } from "./stack.js";
import { layerState } from "./state.js";
import { Visibility } from "./visibility.js";

const owner = "Decoder";

/** What a call of a decoder may come with. */
export interface DecoderCall extends StackCall {
  /** Bool [batch, keys]: true for real positions of the memory. Default: all are real. */
  readonly memoryKeyMask?: Tensor | null;
  /**
   * Bool, true where a position may see one of the memory, or float32, added to the scores;
   * broadcastable to [batch, heads, length, keys].
   */
  readonly memoryMask?: Tensor | null;
}

/** For what a decoder's state is made. */
export interface DecoderStateOptions extends ModelStateOptions {
  /** What is attended to, [batch, keys, dModel]: its keys and values are computed once. */
  readonly memory: Tensor;
  /** Bool [batch, keys]: true for real positions of the memory. Default: all are real. */
  readonly memoryKeyMask?: Tensor | null;
}

/** A result of a decoder with the attention weights of its layers. */
export interface WeightedDecoding {
  /** [batch, length, outputs] */
  readonly output: Tensor;
  /** Of each layer, [batch, heads, length, length]. */
  readonly selfAttention: readonly Tensor[];
  /** Of each layer, [batch, heads, length, keys]. */
  readonly crossAttention: readonly Tensor[];
}

/** Where attention weights go. */
interface Wanted {
  readonly self: Tensor[];
  readonly cross: Tensor[];
}

/**
 * Embeddings of tokens or feature vectors, and layers that attend to their own positions and, always by
 * exact softmax attention, to a memory: hidden states or, where there is an `outputDim`, outputs.
 *
 * @example
 * ```ts
 * const config = new TransformerConfig({ vocabSize: 30, dModel: 16, nHeads: 2, nLayers: 2 });
 * const decoder = new Decoder(config);
 * const memory = randn([2, 7, 16]);
 * console.log(decoder.forward(randint(30, [2, 5]), memory).shape); // → [ 2, 5, 16 ]
 * ```
 */
export class Decoder extends Stack<DecoderLayer> {
  /** What is added to the embeddings, or `null`. */
  readonly positionEncoding: PositionEncoding | null;
  /** The layers in the order in which they are applied. */
  readonly layers: ModuleList<DecoderLayer>;
  /** To the outputs; `null` where these are hidden states. Another module may take its place. */
  outputProjection: TensorModule | null;

  /** @throws XError `argument` if both `vocabSize` and `inputDim` are given */
  constructor(
    config: TransformerConfig,
    parts: ModelParts = {},
    embedding: Embedding | null = null,
  ) {
    super(owner, config, embedding);
    this.positionEncoding = makePositions(config);
    this.layers = new ModuleList(
      Array.from({ length: config.nLayers }, (_, layer) => new DecoderLayer(config, layer, parts)),
    );
    this.outputProjection = makeOutput(config, this.tokenEmbedding, false);
    initializeWeights(this, config.initializerRange);
  }

  /**
   * From tokens, int32 [batch, length], or feature vectors [batch, length, inputDim] to
   * [batch, length, outputs].
   *
   * @param memory [batch, keys, dModel]; `null` if the state has its keys and values
   * @throws XError `shape`, `dtype` or `argument` if a tensor does not fit the model or the state
   */
  forward(input: Tensor, memory: Tensor | null, call: DecoderCall = {}): Tensor {
    const { x, finish } = this.compute(input, memory, call);
    return finish(this.project(this.finalNorm(x)));
  }

  /** What `forward` gives for the last real position of each sequence, [batch, outputs]. */
  next(input: Tensor, memory: Tensor | null, call: DecoderCall = {}): Tensor {
    const { x, finish, keyMask } = this.compute(input, memory, call);
    return finish(this.project(this.finalNorm(positionOf(x, "last", keyMask))));
  }

  /** Hidden states, [batch, length, dModel]: what the map to the outputs is given. */
  hidden(input: Tensor, memory: Tensor | null, call: DecoderCall = {}): Tensor {
    const { x, finish } = this.compute(input, memory, call);
    return finish(this.finalNorm(x));
  }

  /**
   * What `forward` gives, with the attention weights of all layers.
   *
   * @throws XError `argument` if a layer's attention is not that of softmax
   */
  forwardWithWeights(
    input: Tensor,
    memory: Tensor | null,
    call: DecoderCall = {},
  ): WeightedDecoding {
    const wanted: Wanted = { self: [], cross: [] };
    const { x, finish } = this.compute(input, memory, call, wanted);
    const output = finish(this.project(this.finalNorm(x)));
    return { output, selfAttention: wanted.self, crossAttention: wanted.cross };
  }

  /**
   * What is remembered before the first token: besides what an encoder has, keys and values of the
   * memory for each layer, which are computed with the first call.
   *
   * @throws XError `argument` if the model is not causal, or a layer's mechanism has no state
   */
  initState({ memory, memoryKeyMask = null, ...options }: DecoderStateOptions): ModelState {
    const state = this.makeState(options);
    const device = options.device ?? this.device;
    checkMemory(memory, options.batch, this.config.dModel);
    const stored = (x: Tensor): Tensor => zeros(x.shape, { device }).assign(x.detach());
    const parts = [...this.layers].map(({ crossAttention }): AttentionState => {
      const { key, value } = crossAttention.projectMemory(memory);
      return { memoryKeys: stored(key), memoryValues: stored(value) };
    });
    if (memoryKeyMask === null) return { ...state, ...layerState(parts) };
    checkKeyMask(owner, memoryKeyMask, memory.shape.slice(0, 2));
    const mask = zeros(memoryKeyMask.shape, { dtype: "bool", device }).assign(memoryKeyMask);
    return { ...state, memoryMask: mask, ...layerState(parts) };
  }

  /** @internal The results of the layers, before the last norm. */
  compute(
    input: Tensor,
    memory: Tensor | null,
    call: DecoderCall,
    wanted: Wanted | null = null,
  ): StackResult {
    const { state = null, memoryMask = null } = call;
    const remembered = memory === null ? state?.["layers.0.memoryKeys"] : undefined;
    check(
      memory !== null || remembered !== undefined,
      "argument",
      () =>
        `${owner}: a memory must be given, or be in the state, got neither. Pass it, or make the state with initState({ memory }).`,
    );
    const [batch, length] = input.shape as [number, number];
    if (memory !== null) checkMemory(memory, batch, this.config.dModel);
    const memoryVisibility = new Visibility(owner, {
      batch,
      length,
      memoryLength: remembered?.shape[2] ?? memory!.shape[1]!,
      keyMask: call.memoryKeyMask ?? (memory === null ? (state?.memoryMask ?? null) : null),
      mask: memoryMask,
      isCausal: false,
      state: null,
      capacity: 0,
      slopedHeads: 0,
      isExplicit: this.config.compat !== null,
    });
    return this.computeWith(input, call, wanted?.self ?? null, (layer, x, own) => {
      const { memoryKeys, memoryValues, ...rest } = own.state ?? {};
      const isHere = memory === null && memoryKeys !== undefined && memoryValues !== undefined;
      return layer.forward(x, {
        ...own,
        state: own.state ? rest : null,
        memory,
        memoryVisibility,
        memoryState: isHere ? { memoryKeys, memoryValues } : null,
        memoryWeights: wanted?.cross ?? null,
      });
    });
  }

  protected override get positionEncodingOrNull(): PositionEncoding | null {
    return this.positionEncoding;
  }

  private project(hidden: Tensor): Tensor {
    return this.outputProjection?.forward(hidden) ?? hidden;
  }
}

function checkMemory(memory: Tensor, batch: number, size: number): void {
  check(
    memory.rank === 3 && memory.shape[0] === batch,
    "shape",
    () =>
      `${owner}: the memory must be [${batch}, keys, ${size}], got ${formatShape(memory.shape)}. Give one for each sequence.`,
  );
  checkLastAxis(owner, "memory", memory, size);
}
