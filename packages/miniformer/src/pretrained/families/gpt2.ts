/** GPT-2 (Radford et al. 2019): learned positions, and matrices that are stored `[in, out]`. */

import { plainActivation } from "./activation.js";
import { causalHead, naming, type Description, type Family } from "./family.js";
import { everyLayer, renamed } from "./layers.js";
import type { ConfigFile } from "../config-file.js";
import type { Rule } from "../weights/rule.js";
import type { StoredTensors } from "../weights/stored-tensors.js";

const bothKinds = ["weight", "bias"];

/** Checkpoints of GPT-2 and models of its layout. */
export const gpt2: Family = { modelTypes: ["gpt2"], describe };

async function describe(config: ConfigFile, stored: StoredTensors): Promise<Description> {
  config.require("add_cross_attention", false, "attention to an encoder");
  const name = naming("transformer.", stored);
  const vocabSize = config.count("vocab_size");
  const dModel = config.count("n_embd", "hidden_size");
  const nHeads = config.count("n_head", "num_attention_heads");
  const nLayers = config.count("n_layer", "num_hidden_layers");
  const head = await causalHead(config, stored, name("wte.weight"), true);
  return {
    options: {
      vocabSize,
      dModel,
      nHeads,
      nLayers,
      dFf: config.countOr(4 * dModel, "n_inner"),
      maxSeqLen: config.count("n_positions", "n_ctx", "max_position_embeddings"),
      positions: "learned",
      activation: plainActivation(config, "activation_function", "gelu_new"),
      dropout: config.numberOr(0.1, "resid_pdrop"),
      attentionDropout: config.numberOr(0.1, "attn_pdrop"),
      layerNormEps: config.numberOr(1e-5, "layer_norm_epsilon"),
      finalNorm: true,
      embeddingScale: false,
      ...head.options,
      headBias: false,
      initializerRange: config.numberOr(0.02, "initializer_range"),
      padTokenId: config.id("pad_token_id"),
      bosTokenId: config.id("bos_token_id"),
      eosTokenId: config.ids("eos_token_id"),
    },
    rules: [
      head.embedding,
      { stored: [name("wpe.weight")], own: ["encoder.pos_embedding.weight"] },
      ...renamed(
        name,
        [
          ...everyLayer(nLayers, (i) => `h.${i}`, [
            ["ln_1", "norm1"],
            ["ln_2", "norm2"],
          ]),
          ["ln_f", "encoder.norm"],
        ],
        bothKinds,
      ),
      ...everyLayer(nLayers, (i) => `h.${i}`, [["attn.c_attn", "self_attention"]]).flatMap(
        ([from, to], layer) =>
          bothKinds.map((kind): Rule => ({
            stored: [name(`${from}.${kind}`)],
            own: ["wq", "wk", "wv"].map((part) => `${to}.${part}.${kind}`),
            isTransposed: true,
            factors: [queryFactor(config, dModel / nHeads, layer), 1, 1],
          })),
      ),
      ...renamed(
        name,
        everyLayer(nLayers, (i) => `h.${i}`, [
          ["attn.c_proj", "self_attention.wo"],
          ["mlp.c_fc", "feed_forward.linear1"],
          ["mlp.c_proj", "feed_forward.linear2"],
        ]),
        bothKinds,
        { isTransposed: true },
      ),
      ...head.rules,
    ],
    head: null,
    // Masks that old checkpoints hold.
    ignored: [/\.attn\.(masked_)?bias$/],
    notes: head.notes,
  };
}

/** The model divides scores by the root of the size of a head; what differs goes to the queries. */
function queryFactor(config: ConfigFile, headDim: number, layer: number): number {
  const plain = config.flag("scale_attn_weights", true) ? 1 : Math.sqrt(headDim);
  return config.flag("scale_attn_by_inverse_layer_idx", false) ? plain / (layer + 1) : plain;
}
