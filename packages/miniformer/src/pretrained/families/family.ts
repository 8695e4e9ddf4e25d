/** What a family of published models says of its checkpoints. */

import type { TransformerOptions } from "../../config/fields.js";
import type { ConfigFile } from "../config-file.js";
import type { HeadSpec } from "../heads.js";
import type { Rule } from "../weights/rule.js";
import type { Translation } from "../weights/load-weights.js";
import type { StoredTensors } from "../weights/stored-tensors.js";

/** What a checkpoint of a family is in our terms. */
export interface Description extends Translation {
  /** What the model is made of. */
  readonly options: TransformerOptions;
  /** What follows the layers, where that is more than a map. */
  readonly head: HeadSpec | null;
  /** What users should know of it, in sentences. */
  readonly notes: readonly string[];
}

/** Checkpoints of one layout. */
export interface Family {
  /** The values of `model_type` in `config.json`. */
  readonly modelTypes: readonly string[];
  /** Reads what `config.json` says and how the tensors are called. */
  describe(config: ConfigFile, stored: StoredTensors): Promise<Description>;
}

/** What follows the layers. */
export type Head =
  "none" | "language model" | "masked language model" | "classes" | "token classes";

const heads: readonly (readonly [suffix: string, head: Head])[] = [
  ["ForCausalLM", "language model"],
  ["LMHeadModel", "language model"],
  ["ForMaskedLM", "masked language model"],
  ["ForPreTraining", "masked language model"],
  ["ForSequenceClassification", "classes"],
  ["ForTokenClassification", "token classes"],
];

/** The head that the name of the class in `config.json` stands for; `usual` where there is none. */
export function headOf(config: ConfigFile, usual: Head): Head {
  const name = config.texts("architectures")?.[0];
  if (name === undefined) return usual;
  return heads.find(([suffix]) => name.endsWith(suffix))?.[1] ?? "none";
}

/** The names that a tensor may have in a checkpoint. */
export type Naming = (name: string) => readonly string[];

/** Names with and without the prefix of the base model, the form that the checkpoint uses first. */
export function naming(prefix: string, stored: StoredTensors): Naming {
  const isPrefixed = [...stored.names].some((name) => name.startsWith(prefix));
  return (name) => {
    const forms = [old(`${prefix}${name}`), old(name)];
    return (isPrefixed ? forms : forms.toReversed()).flat();
  };
}

/** Names that are the same in every checkpoint, but for those of the first of them. */
export const unprefixed: Naming = old;

/** A name, after the name it had when the first of these models were published. */
function old(name: string): string[] {
  if (!name.includes("LayerNorm.")) return [name];
  const before = name.replace("LayerNorm.weight", "LayerNorm.gamma");
  return [before.replace("LayerNorm.bias", "LayerNorm.beta"), name].reverse();
}

/** The tensor with one of the names, or `null`. */
export function nameIn(stored: StoredTensors, names: readonly string[]): string | null {
  return names.find((name) => stored.names.has(name)) ?? null;
}

/** How many rows the tensor with one of the names has, or `null` where it is not there. */
export async function rowsOf(
  stored: StoredTensors,
  names: readonly string[],
): Promise<number | null> {
  const name = nameIn(stored, names);
  return name === null ? null : ((await stored.shape(name))?.[0] ?? null);
}

/** What follows the layers of a causal model: tokens, classes of the last position, or nothing. */
export interface CausalHead {
  readonly options: Pick<TransformerOptions, "tieEmbeddings" | "outputDim" | "pooling">;
  /** The rule of the embeddings, whose matrix may be that of the head. */
  readonly embedding: Rule;
  /** The rules of the head. */
  readonly rules: readonly Rule[];
  readonly notes: readonly string[];
}

/** Finds the head of a causal model with embeddings of that name; `usual` says whether they are tied. */
export async function causalHead(
  config: ConfigFile,
  stored: StoredTensors,
  embedding: readonly string[],
  usual: boolean,
): Promise<CausalHead> {
  const [logits, scores] = [["lm_head.weight"], ["score.weight"]];
  const head = headOf(config, "language model");
  const isLanguageModel = head === "language model";
  const tied = await tying(config, usual, stored, embedding, logits);
  const isTied = isLanguageModel && tied.isTied;
  const classes = head === "classes" ? await rowsOf(stored, scores) : null;
  const own = ["output_projection.weight"];
  return {
    options: {
      tieEmbeddings: isTied,
      outputDim: isLanguageModel ? config.count("vocab_size") : classes,
      pooling: classes === null ? "none" : "last",
    },
    embedding: {
      stored: [[...embedding, ...(isTied ? logits : [])]],
      own: ["encoder.token_embedding.weight"],
    },
    rules: [
      ...(isLanguageModel && !isTied ? [{ stored: [logits], own }] : []),
      ...(classes === null ? [] : [{ stored: [scores], own }]),
    ],
    notes: tied.notes,
  };
}

/**
 * Whether the head is the matrix of the embeddings, and what is to be said of it. A checkpoint that
 * has both, with other numbers, contradicts a `config.json` that says so; the tensors are believed.
 */
async function tying(
  config: ConfigFile,
  usual: boolean,
  stored: StoredTensors,
  embedding: readonly string[],
  head: readonly string[],
): Promise<{ readonly isTied: boolean; readonly notes: readonly string[] }> {
  const isTied = config.flag("tie_word_embeddings", usual);
  const names = [nameIn(stored, embedding), nameIn(stored, head)] as const;
  if (!isTied || names[0] === null || names[1] === null) return { isTied, notes: [] };
  const shapes = [await stored.shape(names[0]), await stored.shape(names[1])];
  if (shapes.includes(null)) return { isTied, notes: [] };
  const [a, b] = [await stored.bytes(names[0]), await stored.bytes(names[1])];
  if (a.length === b.length && a.every((byte, i) => byte === b[i])) return { isTied, notes: [] };
  const note = `config.json says that ${names[1]} is ${names[0]}, but they differ: both were loaded.`;
  return { isTied: false, notes: [note] };
}
