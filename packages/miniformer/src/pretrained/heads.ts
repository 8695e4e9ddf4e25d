/** Heads of encoders that are more than a map to the outputs. */

import { linear, zeros, type Tensor } from "@x/tensor";
import { check } from "@x/tensor/checks";
import { LayerNorm, Linear, Module, Parameter, type Embedding } from "@x/tensor/nn";
import { plainActivations, type PlainActivation } from "../config/fields.js";
import type { TransformerConfig } from "../config/transformer-config.js";
import { activate } from "../model/activation.js";

/** What `config.json` says of a {@link PooledClassifier}. */
export interface PooledClassesSpec {
  /** Marks the kind of the head. */
  readonly kind: "pooled classes";
  /** The function between its maps. */
  readonly activation: "tanh" | "relu";
  /** How many classes there are. */
  readonly classes: number;
}

/** What `config.json` says of a {@link MaskedLanguageModelHead}. */
export interface MaskedLanguageModelSpec {
  /** Marks the kind of the head. */
  readonly kind: "masked language model";
  /** The function after its first map. */
  readonly activation: PlainActivation;
}

/** A head, in words that `config.json` can hold. */
export type HeadSpec = PooledClassesSpec | MaskedLanguageModelSpec;

/** What a model must have to be given a head. */
interface HasHead {
  outputProjection: unknown;
  readonly tokenEmbedding: Embedding | null;
}

/** Classes of a sequence, of the vector of its first token: `classifier(act(dense(x)))`. */
export class PooledClassifier extends Module {
  /** [dModel, dModel] */
  readonly dense: Linear;
  /** [classes, dModel] */
  readonly classifier: Linear;
  /** What it is. */
  readonly spec: PooledClassesSpec;

  /** @param spec how many classes there are, and the function between the maps */
  constructor(dModel: number, spec: PooledClassesSpec) {
    super();
    this.spec = spec;
    this.dense = new Linear(dModel, dModel);
    this.classifier = new Linear(dModel, spec.classes);
  }

  /** From [..., dModel] to [..., classes]. */
  forward(x: Tensor): Tensor {
    const inner = this.dense.forward(x);
    return this.classifier.forward(this.spec.activation === "tanh" ? inner.tanh() : inner.relu());
  }
}

/** Logits of the tokens that were masked: `norm(act(dense(x))) Eᵀ + bias`, with the embeddings E. */
export class MaskedLanguageModelHead extends Module {
  /** [dModel, dModel] */
  readonly dense: Linear;
  /** The norm after the function. */
  readonly norm: LayerNorm;
  /** The matrix of the embeddings, [vocabSize, dModel]. */
  readonly weight: Parameter;
  /** [vocabSize] */
  readonly bias: Parameter;
  /** What it is. */
  readonly spec: MaskedLanguageModelSpec;

  /**
   * @param embedding its matrix is that of the last map
   * @param eps of the norm
   */
  constructor(embedding: Embedding, eps: number, spec: MaskedLanguageModelSpec) {
    super();
    const [vocabSize, dModel] = embedding.weight.shape as [number, number];
    this.spec = spec;
    this.dense = new Linear(dModel, dModel);
    this.norm = new LayerNorm(dModel, { eps });
    this.weight = embedding.weight;
    this.bias = new Parameter(zeros([vocabSize]));
  }

  /** From [..., dModel] to [..., vocabSize]. */
  forward(x: Tensor): Tensor {
    return linear(
      this.norm.forward(activate(this.spec.activation, this.dense.forward(x))),
      this.weight,
      this.bias,
    );
  }
}

/** Whether something is what {@link PooledClassifier} or {@link MaskedLanguageModelHead} are made of. */
export function isHeadSpec(value: unknown): value is HeadSpec {
  const { kind, activation, classes } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (kind === "masked language model") return plainActivations.some((name) => name === activation);
  const isCount = Number.isSafeInteger(classes) && (classes as number) > 0;
  return kind === "pooled classes" && isCount && (activation === "tanh" || activation === "relu");
}

/** Gives a model a head in place of its map to the outputs. */
export function attachHead(model: Module, config: TransformerConfig, spec: HeadSpec): void {
  const target = model as Module & Partial<HasHead>;
  const { tokenEmbedding = null } = target;
  check(
    "outputProjection" in target && tokenEmbedding !== null,
    "argument",
    () =>
      `fromPretrained: a model with the head "${spec.kind}" must be a Transformer of tokens, got ${model.constructor.name}. Leave out make.`,
  );
  target.outputProjection =
    spec.kind === "pooled classes"
      ? new PooledClassifier(config.dModel, spec)
      : new MaskedLanguageModelHead(tokenEmbedding, config.layerNormEps, spec);
}
