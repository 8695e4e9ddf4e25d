/** The layout in which this package saves models: the names of their state dictionaries. */

import type { Module } from "@x/tensor/nn";
import type { TransformerOptions } from "../config/fields.js";
import type { TransformerConfig } from "../config/transformer-config.js";
import type { JsonObject } from "./config-file.js";
import { unloadable } from "./files/failure.js";
import { isHeadSpec, MaskedLanguageModelHead, PooledClassifier, type HeadSpec } from "./heads.js";
import { namesOfTensors, type Translation } from "./weights/load-weights.js";

/** `model_type` of this layout. */
export const ownType = "miniformer";

/** A model that has a configuration. */
export interface ConfiguredModel extends Module {
  /** What it is made of. */
  readonly config: TransformerConfig;
}

/** What `config.json` says besides the fields of the configuration. */
interface Marks {
  readonly model_type: typeof ownType;
  readonly architectures: readonly [string];
  readonly head?: HeadSpec;
}

/** What kind of model it is. Names of classes do not survive bundlers, so it is seen by its parts. */
function architectureOf(model: Module): string {
  return "decoder" in model ? "Seq2SeqTransformer" : "Transformer";
}

/** The head that a model was given, or `null`. */
function headSpecOf(model: Module): HeadSpec | null {
  const head = (model as { readonly outputProjection?: unknown }).outputProjection;
  const isOurs = head instanceof PooledClassifier || head instanceof MaskedLanguageModelHead;
  return isOurs ? head.spec : null;
}

/** What `config.json` says of a model. */
export function ownConfigOf(model: ConfiguredModel): JsonObject {
  const head = headSpecOf(model);
  const marks: Marks = {
    model_type: ownType,
    architectures: [architectureOf(model)],
    ...(head !== null && { head }),
  };
  return { ...marks, ...model.config.toJSON() };
}

/** What was read from `config.json` of this layout. */
export interface OwnConfig {
  readonly options: TransformerOptions;
  readonly architecture: string;
  readonly head: HeadSpec | null;
}

/** Reads `config.json` of this layout. */
export function readOwnConfig(json: JsonObject): OwnConfig {
  const { model_type: _, architectures, head = null, ...options } = json;
  const architecture: unknown = Array.isArray(architectures) ? architectures[0] : "Transformer";
  if (typeof architecture !== "string" || (head !== null && !isHeadSpec(head))) {
    throw unloadable(
      `config.json must name an architecture and a head that this package knows, got ${JSON.stringify(architecture)} and ${JSON.stringify(head)}. Save the model again.`,
    );
  }
  // Checked when the configuration is made of it.
  return { options, architecture, head };
}

/** Every tensor of the model has the names of its state dictionary. */
export function ownTranslation(model: Module): Translation {
  return {
    rules: [...namesOfTensors(model).values()].map((names) => ({
      stored: [names],
      own: [names[0]!],
    })),
    ignored: [],
  };
}
