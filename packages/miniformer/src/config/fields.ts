/** What a transformer is made of. */

import type { AttentionMechanism, RotaryLayout } from "@x/tensor/nn";

/** The functions of one map. */
export const plainActivations = ["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"] as const;

/** The functions that multiply by a second map. */
export const gatedActivations = ["swiglu", "geglu", "geglu_tanh", "reglu"] as const;

/** A function of one map. */
export type PlainActivation = (typeof plainActivations)[number];

/** A function that multiplies by a second map. */
export type GatedActivation = (typeof gatedActivations)[number];

/**
 * The function between the two maps of the feed-forward part; those with `glu` are gated. `quick_gelu` is
 * `x σ(1.702 x)`; those with `tanh` are the approximation of GELU by a hyperbolic tangent.
 */
export type ActivationKind = PlainActivation | GatedActivation;

/** Every function. */
export const activationKinds: readonly ActivationKind[] = [
  ...plainActivations,
  ...gatedActivations,
];

/** Every kind of positions. */
export const positionKinds = ["learned", "sinusoidal", "rotary", "alibi", "none"] as const;

/** How a model knows where its tokens stand. */
export type PositionKind = (typeof positionKinds)[number];

/** Every kind of pooling. */
export const poolingKinds = ["none", "first", "last", "mean", "max"] as const;

/** What becomes of the positions when a result is asked for a whole sequence. */
export type PoolingKind = (typeof poolingKinds)[number];

/** Attention by a name that {@link registerAttention} gave, with options for what it makes. */
export interface NamedAttention {
  /** The name. */
  readonly name: string;
  /** What the maker is given as `options`. */
  readonly [option: string]: unknown;
}

/**
 * How layers attend: by exact softmax attention, by a mechanism that {@link registerAttention} gave a
 * name, with options beside the name or without, or by a mechanism itself.
 */
export type AttentionSpec =
  | "softmax"
  // Keeps "softmax" in what editors suggest.
  | (string & {})
  | NamedAttention
  | AttentionMechanism;

/**
 * All rotary frequencies divided by a factor.
 *
 * @see Chen et al.: Extending Context Window of Large Language Models via Positional Interpolation (2023)
 */
export interface LinearRotaryScaling {
  /** The kind of scaling. */
  readonly type: "linear";
  /** How many times longer the context gets. */
  readonly factor: number;
}

/**
 * Slow rotary frequencies divided by a factor, fast ones kept, those between mixed, as in Llama 3.1.
 * Fast are waves that fit `highFreqFactor` times into the original context, slow those that fit fewer
 * than `lowFreqFactor` times.
 */
export interface Llama3RotaryScaling {
  /** The kind of scaling. */
  readonly type: "llama3";
  /** By what slow frequencies are divided. */
  readonly factor: number;
  /** How often slow waves fit into the original context, at most. */
  readonly lowFreqFactor: number;
  /** How often fast waves fit into the original context, at least. */
  readonly highFreqFactor: number;
  /** The length of the original context. */
  readonly originalMaxPositions: number;
}

/**
 * Slow rotary frequencies divided by a factor, fast ones kept, with a ramp between pairs of elements
 * that turn `betaFast` and `betaSlow` times in the original context; rotated vectors get longer.
 *
 * @see Peng et al.: YaRN: Efficient Context Window Extension of Large Language Models (2023)
 */
export interface YarnRotaryScaling {
  /** The kind of scaling. */
  readonly type: "yarn";
  /** By what slow frequencies are divided. */
  readonly factor: number;
  /** The length of the original context. */
  readonly originalMaxPositions: number;
  /** Turns from which a frequency is fast. Default 32. */
  readonly betaFast?: number;
  /** Turns up to which a frequency is slow. Default 1. */
  readonly betaSlow?: number;
  /** By what rotated vectors get longer. Default `0.1 log(factor) + 1`. */
  readonly attentionFactor?: number;
}

/** How rotary frequencies are changed for sequences longer than those a model was trained on. */
export type RotaryScaling = LinearRotaryScaling | Llama3RotaryScaling | YarnRotaryScaling;

/** A feed-forward part that is a mixture of experts. */
export interface ExpertsSpec {
  /** How many experts there are. */
  readonly count: number;
  /** How many of them each token uses. */
  readonly topK: number;
  /** The layers that have experts. Default: all. */
  readonly layers?: readonly number[];
}

/** All that a {@link TransformerConfig} says, defaults filled in. */
export interface TransformerFields {
  /** How many tokens there are; `null` for a model of feature vectors. */
  readonly vocabSize: number | null;
  /** Size of the feature vectors; `null` for a model of tokens. */
  readonly inputDim: number | null;
  /** Size of the results; `null` for hidden states or, with `tieEmbeddings`, logits. Default `null`. */
  readonly outputDim: number | null;
  /** Size of the vectors between the layers. Default 256. */
  readonly dModel: number;
  /** Heads of the queries. Default 4. */
  readonly nHeads: number;
  /** Heads of keys and values, each shared by as many query heads. Default `nHeads`. */
  readonly nKvHeads: number;
  /** Size of a head. Default `dModel / nHeads`. */
  readonly headDim: number;
  /** How many layers there are. Default 4. */
  readonly nLayers: number;
  /** How many layers the decoder of an encoder–decoder has. Default `nLayers`. */
  readonly nDecoderLayers: number;
  /** Size between the maps of the feed-forward part. Default `4 dModel`. */
  readonly dFf: number;
  /** The probability of dropout after embeddings and in layers, in training. Default 0. */
  readonly dropout: number;
  /** The probability with which an attention weight is dropped, in training. Default 0. */
  readonly attentionDropout: number;
  /**
   * The function between the maps of the feed-forward part. Default `"gelu"`, the exact one. Gated ones
   * (`"swiglu"`, `"geglu"`, `"geglu_tanh"`, `"reglu"`) multiply by a second map.
   */
  readonly activation: ActivationKind;
  /** Whether parts of layers normalise what goes in, not the sum that comes out. Default true. */
  readonly preNorm: boolean;
  /** The kind of all norms. Default `"layer"`. */
  readonly norm: "layer" | "rms";
  /** Added to the variance or mean square in norms. Default 1e-5. */
  readonly layerNormEps: number;
  /** Whether a norm follows the last layer. Default false, as in the original. */
  readonly finalNorm: boolean;
  /** Whether a norm follows the embeddings. Default false. */
  readonly embeddingNorm: boolean;
  /**
   * Whether queries and keys are normalised head by head; `null`, the default: where the mechanism of
   * the layer needs it.
   */
  readonly qkNorm: boolean | null;
  /** Whether linear maps have biases, unless said otherwise. Default true. */
  readonly bias: boolean;
  /** Whether the maps to queries, keys and values have biases. Default `bias`. */
  readonly qkvBias: boolean;
  /** Whether the map after the attention has a bias. Default `bias`. */
  readonly outputBias: boolean;
  /** Whether the maps of the feed-forward part have biases. Default `bias`. */
  readonly ffBias: boolean;
  /** Whether the map to the outputs has a bias; one tied to the embeddings has none. Default `bias`. */
  readonly headBias: boolean;
  /** How the model knows where its tokens stand. Default `"learned"`. */
  readonly positions: PositionKind;
  /** The longest sequence. Default 512. */
  readonly maxSeqLen: number;
  /** The part of each head that is rotated, with rotary positions. Default 1. */
  readonly rotaryPct: number;
  /** The slowest rotation takes about 2π times so many positions. Default 10000. */
  readonly rotaryBase: number;
  /** Which elements form the pairs that are rotated. Default `"half"`. */
  readonly rotaryLayout: RotaryLayout;
  /** How frequencies are changed for long contexts. Default `null`: not at all. */
  readonly rotaryScaling: RotaryScaling | null;
  /** Whether embeddings of tokens are multiplied by √dModel, as in the original. Default true. */
  readonly embeddingScale: boolean;
  /** How many kinds of tokens have an embedding of their own that is added. Default 0. */
  readonly tokenTypes: number;
  /** Whether the map to the logits is the matrix of the embeddings. Default false. */
  readonly tieEmbeddings: boolean;
  /** Standard deviation of initial weights. Default 0.02. */
  readonly initializerRange: number;
  /** The token that fills up batches, or `null`. Default `null`. */
  readonly padTokenId: number | null;
  /** The token at the beginning, or `null`. Default `null`. */
  readonly bosTokenId: number | null;
  /** The token that ends a text, several, or `null`. Default `null`. */
  readonly eosTokenId: number | readonly number[] | null;
  /** Whether a position sees only those before it. Default: true for tokens, false for features. */
  readonly causal: boolean;
  /**
   * How many positions, its own included, each sees: those before, and where the model is not causal as
   * many after. One for all layers or a list; `null` for no limit. Softmax only. Default `null`.
   */
  readonly slidingWindow: number | null | readonly (number | null)[];
  /** How a result for the whole sequence is made of those of its positions. Default `"none"`. */
  readonly pooling: PoolingKind;
  /** Whether there is a map of the first position, for `forwardPooled`, as in BERT. Default false. */
  readonly pooler: boolean;
  /** How layers attend, one for all or a list. Default `"softmax"`. */
  readonly attention: AttentionSpec | readonly AttentionSpec[];
  /** Feed-forward parts that are mixtures of experts, or `null`. Default `null`. */
  readonly experts: ExpertsSpec | null;
  /** Whether layers compute their intermediate results again for gradients. Default false. */
  readonly checkpoint: boolean;
  /** Whether encoder and decoder have the same embeddings of tokens. Default true. */
  readonly shareEmbeddings: boolean;
  /** Whether the decoder of an encoder–decoder is causal. Default true. */
  readonly useCausalMask: boolean;
  /**
   * `"reference"` reproduces the original where it contradicts itself: token 0 is padding and is masked
   * without being asked, positions count padding too, a query that sees no key attends to all of them
   * alike, logits are tied where `outputDim` is `vocabSize`, or is `null` and `vocabSize` at least
   * `10 dModel`, and an `outputDim` of `dModel` gives no map. Default `null`.
   */
  readonly compat: "reference" | null;
}

/** What a {@link TransformerConfig} is made of; all that is left out has a default. */
export type TransformerOptions = {
  readonly [Name in keyof TransformerFields]?: TransformerFields[Name] | undefined;
};
