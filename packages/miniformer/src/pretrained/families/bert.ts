/** BERT (Devlin et al. 2018) and encoders of its layout. */

import type { ConfigFile } from "../config-file.js";
import type { Rule } from "../weights/rule.js";
import type { StoredTensors } from "../weights/stored-tensors.js";
import { plainActivation } from "./activation.js";
import {
  bertHeads,
  distilbertHeads,
  findHead,
  robertaHeads,
  type FoundHead,
  type HeadNames,
} from "./encoder-heads.js";
import { headOf, nameIn, naming, type Description, type Family, type Naming } from "./family.js";
import { everyLayer, renamed, type LayerTable } from "./layers.js";

const bothKinds = ["weight", "bias"];

/** Checkpoints of BERT and of RoBERTa, which begins to count positions after the padding token. */
export const bert: Family = { modelTypes: ["bert", "roberta"], describe };

/** Checkpoints of DistilBERT (Sanh et al. 2019). */
export const distilbert: Family = { modelTypes: ["distilbert"], describe: describeDistilled };

const attention: LayerTable = [
  ["attention.self.query", "self_attention.wq"],
  ["attention.self.key", "self_attention.wk"],
  ["attention.self.value", "self_attention.wv"],
  ["attention.output.dense", "self_attention.wo"],
  ["attention.output.LayerNorm", "norm1"],
  ["intermediate.dense", "feed_forward.linear1"],
  ["output.dense", "feed_forward.linear2"],
  ["output.LayerNorm", "norm2"],
];

/** What all encoders of this kind have in common. */
const shared = {
  causal: false,
  positions: "learned",
  preNorm: false,
  embeddingNorm: true,
  embeddingScale: false,
  headBias: true,
} as const;

async function describe(config: ConfigFile, stored: StoredTensors): Promise<Description> {
  const type = config.text("model_type", "bert");
  config.require("is_decoder", false, "a decoder");
  config.require("position_embedding_type", "absolute", "positions relative to each other");
  const name = naming(`${type}.`, stored);
  const nLayers = config.count("num_hidden_layers");
  const padTokenId = config.id("pad_token_id");
  // RoBERTa keeps the first rows for padding.
  const skippedRows = type === "roberta" ? (padTokenId ?? 1) + 1 : 0;
  const vocabSize = config.count("vocab_size");
  const activation = plainActivation(config, "hidden_act", "gelu");
  const names = type === "roberta" ? robertaHeads : bertHeads;
  const sizes = { vocabSize, activation };
  const found = await findHead(headOf(config, "none"), names, name, stored, sizes);
  const isInHead = found.head?.kind === "pooled classes" && names.isDenseInBase === true;
  const hasPooler = !isInHead && nameIn(stored, name("pooler.dense.weight")) !== null;
  return {
    options: {
      ...shared,
      vocabSize,
      dModel: config.count("hidden_size"),
      nHeads: config.count("num_attention_heads"),
      nLayers,
      dFf: config.count("intermediate_size"),
      maxSeqLen: config.count("max_position_embeddings") - skippedRows,
      tokenTypes: config.countOr(2, "type_vocab_size"),
      activation,
      dropout: config.numberOr(0.1, "hidden_dropout_prob"),
      attentionDropout: config.numberOr(0.1, "attention_probs_dropout_prob"),
      layerNormEps: config.numberOr(1e-12, "layer_norm_eps"),
      initializerRange: config.numberOr(0.02, "initializer_range"),
      pooler: hasPooler,
      ...found.options,
      padTokenId,
      bosTokenId: config.id("bos_token_id"),
      eosTokenId: config.ids("eos_token_id"),
    },
    rules: [
      ...embeddings(name, skippedRows),
      {
        stored: [name("embeddings.token_type_embeddings.weight")],
        own: ["encoder.token_type_embedding.weight"],
      },
      ...renamed(
        name,
        [
          ["embeddings.LayerNorm", "encoder.embedding_norm"],
          ...everyLayer(nLayers, (i) => `encoder.layer.${i}`, attention),
          ...(hasPooler ? ([["pooler.dense", "pooler"]] as const) : []),
        ],
        bothKinds,
      ),
      ...found.rules,
    ],
    ...leftOver(found, names),
  };
}

function embeddings(name: Naming, skippedRows: number): Rule[] {
  return [
    {
      stored: [name("embeddings.word_embeddings.weight")],
      own: ["encoder.token_embedding.weight"],
    },
    {
      stored: [name("embeddings.position_embeddings.weight")],
      own: ["encoder.pos_embedding.weight"],
      skippedRows,
    },
  ];
}

/** What is said of tensors besides those of the model. */
function leftOver(
  { head }: FoundHead,
  { all }: HeadNames,
): Pick<Description, "head" | "ignored" | "unused" | "notes"> {
  return {
    head,
    ignored: [
      /embeddings\.position_ids$/,
      // The matrix of the embeddings again.
      ...(head?.kind === "masked language model"
        ? [/(decoder|vocab_projector)\.(weight|bias)$/]
        : []),
    ],
    unused: [all],
    notes: [],
  };
}

const distilledLayer: LayerTable = [
  ["attention.q_lin", "self_attention.wq"],
  ["attention.k_lin", "self_attention.wk"],
  ["attention.v_lin", "self_attention.wv"],
  ["attention.out_lin", "self_attention.wo"],
  ["sa_layer_norm", "norm1"],
  ["ffn.lin1", "feed_forward.linear1"],
  ["ffn.lin2", "feed_forward.linear2"],
  ["output_layer_norm", "norm2"],
];

async function describeDistilled(config: ConfigFile, stored: StoredTensors): Promise<Description> {
  const name = naming("distilbert.", stored);
  const nLayers = config.count("n_layers", "num_hidden_layers");
  const vocabSize = config.count("vocab_size");
  const activation = plainActivation(config, "activation", "gelu");
  const kind = headOf(config, "none");
  const sizes = { vocabSize, activation };
  const found = await findHead(kind, distilbertHeads, name, stored, sizes);
  return {
    options: {
      ...shared,
      vocabSize,
      dModel: config.count("dim", "hidden_size"),
      nHeads: config.count("n_heads", "num_attention_heads"),
      nLayers,
      dFf: config.count("hidden_dim"),
      maxSeqLen: config.count("max_position_embeddings"),
      activation,
      dropout: config.numberOr(0.1, "dropout"),
      attentionDropout: config.numberOr(0.1, "attention_dropout"),
      layerNormEps: 1e-12,
      initializerRange: config.numberOr(0.02, "initializer_range"),
      ...found.options,
      padTokenId: config.id("pad_token_id"),
    },
    rules: [
      ...embeddings(name, 0),
      ...renamed(
        name,
        [
          ["embeddings.LayerNorm", "encoder.embedding_norm"],
          ...everyLayer(nLayers, (i) => `transformer.layer.${i}`, distilledLayer),
        ],
        bothKinds,
      ),
      ...found.rules,
    ],
    ...leftOver(found, distilbertHeads),
  };
}
