/** The heads of encoders: what they are called, and what they are in our terms. */

import type { PlainActivation, TransformerOptions } from "../../config/fields.js";
import type { HeadSpec } from "../heads.js";
import type { Rule } from "../weights/rule.js";
import type { StoredTensors } from "../weights/stored-tensors.js";
import { nameIn, rowsOf, unprefixed, type Head, type Naming } from "./family.js";
import { renamed } from "./layers.js";

/** What a family calls the parts of its heads. */
export interface HeadNames {
  /** The first map of the head for classes, and whether it stands in the base model. */
  readonly dense: string;
  readonly isDenseInBase?: boolean;
  /** The function after it. */
  readonly activation: "tanh" | "relu";
  /** The map to the classes of sequences. */
  readonly classes: string;
  /** The first map, the norm and the bias of the masked language model. */
  readonly transform: string;
  readonly norm: string;
  readonly bias: readonly string[];
  /** Names of all tensors of heads, for those that are not loaded. */
  readonly all: RegExp;
}

/** A head that was found. */
export interface FoundHead {
  readonly head: HeadSpec | null;
  readonly options: TransformerOptions;
  readonly rules: readonly Rule[];
}

const bothKinds = ["weight", "bias"];

/** The head that a checkpoint has; one that is not known is left out. */
export async function findHead(
  kind: Head,
  names: HeadNames,
  base: Naming,
  stored: StoredTensors,
  sizes: { readonly vocabSize: number; readonly activation: PlainActivation },
): Promise<FoundHead> {
  const none: FoundHead = { head: null, options: {}, rules: [] };
  if (kind === "token classes") {
    const classes = await rowsOf(stored, ["classifier.weight"]);
    if (classes === null) return none;
    const rules = renamed(unprefixed, [["classifier", "output_projection"]], bothKinds);
    return { head: null, options: { outputDim: classes }, rules };
  }
  if (kind === "classes") {
    const classes = await rowsOf(stored, [`${names.classes}.weight`]);
    if (classes === null) return none;
    const dense = names.isDenseInBase === true ? base : unprefixed;
    return {
      head: { kind: "pooled classes", activation: names.activation, classes },
      options: { outputDim: classes, pooling: "first" },
      rules: [
        ...renamed(dense, [[names.dense, "output_projection.dense"]], bothKinds),
        ...renamed(unprefixed, [[names.classes, "output_projection.classifier"]], bothKinds),
      ],
    };
  }
  if (kind !== "masked language model") return none;
  if (nameIn(stored, [`${names.transform}.weight`]) === null) return none;
  return {
    head: { kind, activation: sizes.activation },
    options: { outputDim: sizes.vocabSize },
    rules: [
      ...renamed(
        unprefixed,
        [
          [names.transform, "output_projection.dense"],
          [names.norm, "output_projection.norm"],
        ],
        bothKinds,
      ),
      { stored: [names.bias], own: ["output_projection.bias"] },
    ],
  };
}

/** The names of BERT. */
export const bertHeads: HeadNames = {
  dense: "pooler.dense",
  isDenseInBase: true,
  activation: "tanh",
  classes: "classifier",
  transform: "cls.predictions.transform.dense",
  norm: "cls.predictions.transform.LayerNorm",
  bias: ["cls.predictions.bias", "cls.predictions.decoder.bias"],
  all: /^(cls|classifier|qa_outputs)\./,
};

/** The names of RoBERTa. */
export const robertaHeads: HeadNames = {
  dense: "classifier.dense",
  activation: "tanh",
  classes: "classifier.out_proj",
  transform: "lm_head.dense",
  norm: "lm_head.layer_norm",
  bias: ["lm_head.bias", "lm_head.decoder.bias"],
  all: /^(lm_head|classifier|qa_outputs)\./,
};

/** The names of DistilBERT. */
export const distilbertHeads: HeadNames = {
  dense: "pre_classifier",
  activation: "relu",
  classes: "classifier",
  transform: "vocab_transform",
  norm: "vocab_layer_norm",
  bias: ["vocab_projector.bias"],
  all: /^(vocab_transform|vocab_layer_norm|vocab_projector|pre_classifier|classifier|qa_outputs)\./,
};
