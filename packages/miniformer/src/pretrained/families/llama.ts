/**
 * Llama (Touvron et al. 2023) and the families that share its layout: rotary positions, norms of the
 * root mean square, gated feed-forward parts, and key heads that query heads share.
 */

import type { TransformerOptions } from "../../config/fields.js";
import type { ConfigFile } from "../config-file.js";
import { unloadable } from "../files/failure.js";
import type { Rule } from "../weights/rule.js";
import type { StoredTensors } from "../weights/stored-tensors.js";
import { gatedActivation } from "./activation.js";
import { causalHead, naming, type Description, type Family } from "./family.js";
import { renamed, type LayerTable } from "./layers.js";
import { rotarySettings } from "./rotary.js";

/** Where the members of the layout differ. */
interface Member {
  /** Which maps have biases. */
  biases(config: ConfigFile): Pick<TransformerOptions, "qkvBias" | "outputBias" | "ffBias">;
  /** How many last positions each layer sees. */
  window(config: ConfigFile, nLayers: number): TransformerOptions["slidingWindow"];
  /** Key heads where the file does not say. */
  readonly keyHeads?: number;
  /** Whether queries and keys are normalised. */
  readonly qkNorm?: boolean;
}

const noBiases = { qkvBias: false, outputBias: false, ffBias: false };

const members: Readonly<Record<string, Member>> = {
  llama: {
    biases(config) {
      const bias = config.flag("attention_bias", false);
      return { qkvBias: bias, outputBias: bias, ffBias: config.flag("mlp_bias", false) };
    },
    window: () => null,
  },
  mistral: {
    biases: () => noBiases,
    window: (config, nLayers) =>
      windows(
        config,
        nLayers,
        config.value("sliding_window") === undefined
          ? 4096
          : config.countOr(null, "sliding_window"),
        0,
      ),
    keyHeads: 8,
  },
  qwen2: {
    biases: () => ({ ...noBiases, qkvBias: true }),
    window: qwenWindow,
  },
  qwen3: {
    biases(config) {
      const bias = config.flag("attention_bias", false);
      return { qkvBias: bias, outputBias: bias, ffBias: false };
    },
    window: qwenWindow,
    qkNorm: true,
  },
};

/** The last layers have a window where that is asked for. */
function qwenWindow(config: ConfigFile, nLayers: number): TransformerOptions["slidingWindow"] {
  const size = config.flag("use_sliding_window", false)
    ? config.countOr(4096, "sliding_window")
    : null;
  return windows(config, nLayers, size, config.numberOr(28, "max_window_layers"));
}

/** Checkpoints of Llama and models of its layout. */
export const llama: Family = {
  modelTypes: ["llama", "mistral", "qwen2", "qwen3"],
  describe,
};

/** The window of each layer: `size` for those from `first` on, unless the file lists their kinds. */
function windows(
  config: ConfigFile,
  nLayers: number,
  size: number | null,
  first: number,
): TransformerOptions["slidingWindow"] {
  const kinds = config.texts("layer_types");
  if (kinds !== null && kinds.length !== nLayers) {
    throw unloadable(
      `config.json must give "layer_types" for each of ${nLayers} layers, got ${kinds.length}. Check the file.`,
    );
  }
  const list = Array.from({ length: nLayers }, (_, layer) => {
    const kind = kinds?.[layer] ?? (layer >= first ? "sliding_attention" : "full_attention");
    if (kind === "full_attention") return null;
    if (kind === "sliding_attention") return size;
    throw unloadable(
      `config.json must give "layer_types" as full_attention or sliding_attention, got ${JSON.stringify(kind)}. Choose another checkpoint.`,
    );
  });
  const isSame = list.every((window) => window === list[0]);
  return isSame ? (list[0] ?? null) : list;
}

function headDimOf(config: ConfigFile, dModel: number, nHeads: number): number {
  const size = config.countOr(dModel / nHeads, "head_dim");
  if (Number.isInteger(size)) return size;
  throw unloadable(
    `config.json must give "head_dim" where "hidden_size" is no multiple of "num_attention_heads", got ${dModel} and ${nHeads}. Check the file.`,
  );
}

async function describe(config: ConfigFile, stored: StoredTensors): Promise<Description> {
  const member = members[config.text("model_type", "llama")]!;
  const name = naming("model.", stored);
  const vocabSize = config.count("vocab_size");
  const dModel = config.count("hidden_size");
  const nHeads = config.count("num_attention_heads");
  const nLayers = config.count("num_hidden_layers");
  const maxSeqLen = config.count("max_position_embeddings");
  const head = await causalHead(config, stored, name("embed_tokens.weight"), false);
  const rotary = rotarySettings(config, maxSeqLen);
  const biases = member.biases(config);
  return {
    options: {
      vocabSize,
      dModel,
      nHeads,
      nKvHeads: config.countOr(member.keyHeads ?? nHeads, "num_key_value_heads"),
      headDim: headDimOf(config, dModel, nHeads),
      nLayers,
      dFf: config.count("intermediate_size"),
      maxSeqLen,
      positions: "rotary",
      rotaryLayout: "half",
      ...rotary.options,
      activation: gatedActivation(config, "hidden_act", "silu"),
      attentionDropout: config.numberOr(0, "attention_dropout"),
      norm: "rms",
      layerNormEps: config.numberOr(1e-6, "rms_norm_eps"),
      finalNorm: true,
      embeddingScale: false,
      ...(member.qkNorm === true && { qkNorm: true }),
      bias: false,
      ...biases,
      ...head.options,
      slidingWindow: member.window(config, nLayers),
      initializerRange: config.numberOr(0.02, "initializer_range"),
      padTokenId: config.id("pad_token_id"),
      bosTokenId: config.id("bos_token_id"),
      eosTokenId: config.ids("eos_token_id"),
    },
    rules: [
      head.embedding,
      ...Array.from({ length: nLayers }, (_, layer) =>
        layerRules(name, layer, biases, member.qkNorm === true),
      ).flat(),
      { stored: [name("norm.weight")], own: ["encoder.norm.weight"] },
      ...head.rules,
    ],
    head: null,
    ignored: [/rotary_emb\.inv_freq$/],
    notes: [...head.notes, ...rotary.notes],
  };
}

function layerRules(
  name: (name: string) => readonly string[],
  layer: number,
  { qkvBias, outputBias, ffBias }: ReturnType<Member["biases"]>,
  hasNorms: boolean,
): Rule[] {
  const kinds = (bias: boolean | undefined): string[] =>
    bias === true ? ["weight", "bias"] : ["weight"];
  const rename = (table: LayerTable, bias?: boolean): Rule[] =>
    renamed(
      name,
      table.map(([from, to]) => [`layers.${layer}.${from}`, `encoder.layers.${layer}.${to}`]),
      kinds(bias),
    );
  return [
    ...rename([
      ["input_layernorm", "norm1"],
      ["post_attention_layernorm", "norm2"],
    ]),
    ...rename(
      [
        ["self_attn.q_proj", "self_attention.wq"],
        ["self_attn.k_proj", "self_attention.wk"],
        ["self_attn.v_proj", "self_attention.wv"],
      ],
      qkvBias,
    ),
    ...(hasNorms
      ? rename([
          ["self_attn.q_norm", "self_attention.q_norm"],
          ["self_attn.k_norm", "self_attention.k_norm"],
        ])
      : []),
    ...rename([["self_attn.o_proj", "self_attention.wo"]], outputBias),
    ...kinds(ffBias).map((kind) => ({
      stored: ["gate_proj", "up_proj"].map((part) => name(`layers.${layer}.mlp.${part}.${kind}`)),
      own: [`encoder.layers.${layer}.feed_forward.w12.${kind}`],
    })),
    ...rename([["mlp.down_proj", "feed_forward.proj"]], ffBias),
  ];
}
