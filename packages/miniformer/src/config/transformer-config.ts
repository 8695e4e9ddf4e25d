/** The configuration of transformers. */

import type { AttentionMechanism, RotaryLayout } from "@x/tensor/nn";
import { XError } from "@x/tensor";
import type {
  ActivationKind,
  AttentionSpec,
  ExpertsSpec,
  PoolingKind,
  PositionKind,
  RotaryScaling,
  TransformerFields,
  TransformerOptions,
} from "./fields.js";
import { resolveOptions } from "./resolve.js";

/** Whether a specification is a mechanism itself, not its name. */
export function isMechanism(spec: unknown): spec is AttentionMechanism {
  return typeof (spec as Partial<AttentionMechanism> | null)?.forward === "function";
}

/**
 * What a transformer is made of: sizes, norms, positions, attention. Checked when it is made, never
 * changed, and the same after {@link TransformerConfig.toJSON} and {@link TransformerConfig.fromJSON}.
 *
 * @example
 * ```ts
 * const config = new TransformerConfig({ vocabSize: 1000, dModel: 64, activation: "swiglu" });
 * console.log(config.dFf, config.causal); // → 256 true
 * const copy = TransformerConfig.fromJSON(JSON.parse(JSON.stringify(config)));
 * console.log(copy.with({ nHeads: 8 }).headDim); // → 16
 * ```
 */
export class TransformerConfig implements TransformerFields {
  declare readonly vocabSize: number | null;
  declare readonly inputDim: number | null;
  declare readonly outputDim: number | null;
  declare readonly dModel: number;
  declare readonly nHeads: number;
  declare readonly nKvHeads: number;
  declare readonly headDim: number;
  declare readonly nLayers: number;
  declare readonly nDecoderLayers: number;
  declare readonly dFf: number;
  declare readonly dropout: number;
  declare readonly attentionDropout: number;
  declare readonly activation: ActivationKind;
  declare readonly preNorm: boolean;
  declare readonly norm: "layer" | "rms";
  declare readonly layerNormEps: number;
  declare readonly finalNorm: boolean;
  declare readonly embeddingNorm: boolean;
  declare readonly qkNorm: boolean | null;
  declare readonly bias: boolean;
  declare readonly qkvBias: boolean;
  declare readonly outputBias: boolean;
  declare readonly ffBias: boolean;
  declare readonly headBias: boolean;
  declare readonly positions: PositionKind;
  declare readonly maxSeqLen: number;
  declare readonly rotaryPct: number;
  declare readonly rotaryBase: number;
  declare readonly rotaryLayout: RotaryLayout;
  declare readonly rotaryScaling: RotaryScaling | null;
  declare readonly embeddingScale: boolean;
  declare readonly tokenTypes: number;
  declare readonly tieEmbeddings: boolean;
  declare readonly initializerRange: number;
  declare readonly padTokenId: number | null;
  declare readonly bosTokenId: number | null;
  declare readonly eosTokenId: number | readonly number[] | null;
  declare readonly causal: boolean;
  declare readonly slidingWindow: number | null | readonly (number | null)[];
  declare readonly pooling: PoolingKind;
  declare readonly pooler: boolean;
  declare readonly attention: AttentionSpec | readonly AttentionSpec[];
  declare readonly experts: ExpertsSpec | null;
  declare readonly checkpoint: boolean;
  declare readonly shareEmbeddings: boolean;
  declare readonly useCausalMask: boolean;
  declare readonly compat: "reference" | null;

  /**
   * What was said, without defaults: those that depend on other fields follow when these change. Not
   * part of what is written.
   */
  declare private readonly given: TransformerOptions;

  /**
   * @param options what differs from the defaults
   * @throws XError `argument` if a field is unknown, out of its range, or contradicts another
   */
  constructor(options: TransformerOptions) {
    Object.defineProperty(this, "given", { value: { ...options } });
    Object.assign(this, resolveOptions(options));
  }

  /**
   * The configuration that {@link TransformerConfig.toJSON} wrote.
   *
   * @param json an object, as `JSON.parse` gives it
   * @throws XError `argument` as the constructor does
   */
  static fromJSON(json: unknown): TransformerConfig {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new XError(
        "argument",
        `TransformerConfig: a configuration must be an object of fields, got ${json === null ? "null" : Array.isArray(json) ? "a list" : typeof json}. Pass what toJSON() gave.`,
      );
    }
    return new TransformerConfig(json);
  }

  /** Two layers of size 128 with 4 heads, for tests and pages. A language model unless said otherwise. */
  static tiny(changes: TransformerOptions = {}): TransformerConfig {
    return preset({ dModel: 128, nHeads: 4, nLayers: 2, maxSeqLen: 256 }, changes);
  }

  /** Six layers of size 384 with 6 heads, 10 million parameters without embeddings. */
  static small(changes: TransformerOptions = {}): TransformerConfig {
    return preset({ dModel: 384, nHeads: 6, nLayers: 6, maxSeqLen: 512 }, changes);
  }

  /** Twelve layers of size 768 with 12 heads, 85 million parameters without embeddings. */
  static base(changes: TransformerOptions = {}): TransformerConfig {
    return preset({ dModel: 768, nHeads: 12, nLayers: 12, maxSeqLen: 1024 }, changes);
  }

  /** The same with other fields. Defaults that depend on what changes follow it. */
  with(changes: TransformerOptions): TransformerConfig {
    return new TransformerConfig({ ...this.given, ...changes });
  }

  /**
   * All fields as plain values, for `JSON.stringify`.
   *
   * @throws XError `argument` if the attention is a mechanism without a name
   */
  toJSON(): Record<string, unknown> {
    for (const spec of [this.attention].flat()) {
      if (!isMechanism(spec)) continue;
      throw new XError(
        "argument",
        `TransformerConfig: attention that is to be written down must have a name, got ${spec.constructor.name}. Give it one with registerAttention() and use that.`,
      );
    }
    return Object.fromEntries(Object.entries(this));
  }

  /** How a layer attends. */
  attentionOf(layer: number): AttentionSpec {
    return ofLayer(this.attention, layer);
  }

  /** How many positions a layer sees, or `null` for all. */
  windowOf(layer: number): number | null {
    return ofLayer(this.slidingWindow, layer);
  }
}

function ofLayer<T>(one: T | readonly T[], layer: number): T {
  return Array.isArray(one) ? (one as readonly T[])[layer]! : (one as T);
}

/** With what most models of today have, and a tied head for tokens where nothing else is said. */
function preset(sizes: TransformerOptions, changes: TransformerOptions): TransformerConfig {
  const { inputDim = null, outputDim = null } = changes;
  return new TransformerConfig({
    finalNorm: true,
    embeddingScale: false,
    tieEmbeddings: inputDim === null && outputDim === null,
    ...sizes,
    ...changes,
  });
}
