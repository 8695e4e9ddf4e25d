/** One encoder and one causal language model, into which any attention mechanism is put. */

import type { Tensor } from "@x/tensor";
import {
  Embedding,
  init,
  LayerNorm,
  Linear,
  Module,
  ModuleList,
  SinusoidalPositionalEncoding,
  type AttentionMechanism,
  type AttentionState,
  type MechanismOptions,
} from "@x/tensor/nn";
import type { MechanismEntry } from "./table.js";

/** The sizes of an encoder. */
export interface EncoderShape {
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
  /** The longest sequence. */
  readonly length: number;
}

/** Attention and a feed-forward network, each added to what it is given after a norm. */
class Layer extends Module {
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly inputs: Linear;
  readonly output: Linear;
  readonly linear1: Linear;
  readonly linear2: Linear;
  readonly headNorm: LayerNorm | null;
  readonly heads: number;
  readonly mechanism: AttentionMechanism;

  constructor(entry: MechanismEntry, { width, heads, length }: EncoderShape) {
    super();
    const headDim = width / heads;
    this.norm1 = new LayerNorm(width);
    this.norm2 = new LayerNorm(width);
    this.inputs = new Linear(width, 3 * width);
    this.output = new Linear(width, width);
    this.linear1 = new Linear(width, 4 * width);
    this.linear2 = new Linear(4 * width, width);
    this.headNorm = entry.needsNorm ? new LayerNorm(headDim) : null;
    this.heads = heads;
    this.mechanism = entry.make({ headDim, length });
  }

  /** `attend` is given queries, keys and values [batch, heads, length, headDim]. */
  forward(x: Tensor, attend: (q: Tensor, k: Tensor, v: Tensor) => Tensor): Tensor {
    const [q, k, v] = this.inputs
      .forward(this.norm1.forward(x))
      .chunk(3, -1)
      .map((part) => part.unflatten(-1, [this.heads, -1]).transpose(1, 2)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const normalized = (part: Tensor): Tensor => this.headNorm?.forward(part) ?? part;
    const mixed = attend(normalized(q), normalized(k), v);
    const attended = x.add(this.output.forward(mixed.transpose(1, 2).flatten(2)));
    const inner = this.linear1.forward(this.norm2.forward(attended)).gelu();
    return attended.add(this.linear2.forward(inner));
  }
}

/** The states of all layers. */
export type EncoderState = readonly AttentionState[];

/** A pre-norm encoder whose layers attend by a mechanism: [batch, length, width] to the same. */
export class MechanismEncoder extends Module {
  readonly layers: ModuleList<Layer>;
  readonly norm: LayerNorm;
  readonly shape: EncoderShape;

  constructor(entry: MechanismEntry, shape: EncoderShape) {
    super();
    this.layers = new ModuleList(
      Array.from({ length: shape.layers }, () => new Layer(entry, shape)),
    );
    this.norm = new LayerNorm(shape.width);
    this.shape = shape;
  }

  forward(x: Tensor, options: MechanismOptions = {}): Tensor {
    return this.norm.forward(
      [...this.layers].reduce(
        (y, layer) => layer.forward(y, (q, k, v) => layer.mechanism.forward(q, k, v, options)),
        x,
      ),
    );
  }

  /** States for sequences of up to `capacity` tokens: by default the length it is made for. */
  initState(batch: number, capacity: number = this.shape.length): EncoderState {
    const { width, heads } = this.shape;
    const options = { batch, heads, headDim: width / heads, capacity };
    return [...this.layers].map(({ mechanism }) => mechanism.initState!(options));
  }

  /** The next tokens of causal sequences; updates the states in place. */
  step(x: Tensor, states: EncoderState): Tensor {
    return this.norm.forward(
      [...this.layers].reduce(
        (y, layer, i) => layer.forward(y, (q, k, v) => layer.mechanism.step!(q, k, v, states[i]!)),
        x,
      ),
    );
  }
}

/** A causal language model: tokens [batch, length] to logits [batch, length, vocabulary]. */
export class MechanismLanguageModel extends Module {
  readonly embedding: Embedding;
  readonly positions: SinusoidalPositionalEncoding;
  readonly encoder: MechanismEncoder;
  readonly head: Linear;

  constructor(entry: MechanismEntry, shape: EncoderShape, vocabulary: number) {
    super();
    this.embedding = new Embedding(vocabulary, shape.width);
    this.positions = new SinusoidalPositionalEncoding(shape.width);
    this.encoder = new MechanismEncoder(entry, shape);
    this.head = new Linear(shape.width, vocabulary);
    for (const [name, parameter] of this.namedParameters()) {
      // Tokens must not drown in the positions, whose waves have amplitude 1.
      if (name === "embedding.weight") init.normal(parameter, 0, 2);
    }
  }

  forward(tokens: Tensor, options: Omit<MechanismOptions, "isCausal"> = {}): Tensor {
    const x = this.positions.forward(this.embedding.forward(tokens));
    return this.head.forward(this.encoder.forward(x, { ...options, isCausal: true }));
  }

  /** The logits of the next tokens, which begin at position `offset`; updates the states in place. */
  step(tokens: Tensor, states: EncoderState, offset: number | Tensor): Tensor {
    const x = this.positions.forward(this.embedding.forward(tokens), { offset });
    return this.head.forward(this.encoder.step(x, states));
  }
}
