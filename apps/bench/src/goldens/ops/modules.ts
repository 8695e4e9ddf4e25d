/** Whole modules of torch.nn. */

import type { Tensor } from "@x/tensor";
import {
  LayerNorm,
  MultiheadAttention,
  TransformerDecoder,
  TransformerDecoderLayer,
  TransformerEncoder,
  TransformerEncoderLayer,
} from "@x/tensor/nn";
import { layerOptions, loadParameters } from "../modules.js";
import type { Settings } from "../settings.js";
import type { Results, Runner, Subject } from "../subject.js";

const mask = (subject: Subject, name: string): Tensor | null => subject.optionalInput(name) ?? null;

/** Self-attention where no keys were recorded; weights are per head. */
function multiheadAttention(subject: Subject): Results {
  const { settings } = subject;
  const kdim = settings.number("kdim");
  const vdim = settings.number("vdim");
  const module = new MultiheadAttention(
    settings.requiredNumber("embed_dim"),
    settings.requiredNumber("num_heads"),
    {
      batchFirst: settings.boolean("batch_first") ?? false,
      bias: settings.boolean("bias") ?? true,
      addBiasKv: settings.boolean("add_bias_kv") ?? false,
      addZeroAttn: settings.boolean("add_zero_attn") ?? false,
      dropout: settings.number("dropout") ?? 0,
      ...(kdim !== undefined && { kdim }),
      ...(vdim !== undefined && { vdim }),
    },
  );
  const parameters = loadParameters(module, subject);
  const query = subject.input("query");
  const key = subject.optionalInput("key") ?? query;
  const { output, weights } = module.forward(query, key, subject.optionalInput("value") ?? key, {
    keyPaddingMask: mask(subject, "key_padding_mask"),
    attnMask: mask(subject, "attn_mask"),
    averageAttnWeights: false,
  });
  return { outputs: { y: output, weights: weights! }, parameters };
}

function stackOptions(settings: Settings): { numLayers: number; norm: LayerNorm | null } {
  const hasNorm = settings.boolean("final_norm") ?? false;
  const { dModel, layerNormEps = 1e-5 } = layerOptions(settings);
  return {
    numLayers: settings.requiredNumber("num_layers"),
    norm: hasNorm ? new LayerNorm(dModel, { eps: layerNormEps }) : null,
  };
}

function encoder(subject: Subject): Results {
  const { settings } = subject;
  const layer = new TransformerEncoderLayer(layerOptions(settings));
  const module = settings.has("num_layers")
    ? new TransformerEncoder(layer, stackOptions(settings))
    : layer;
  const parameters = loadParameters(module, subject);
  const visible = mask(subject, "mask") ?? mask(subject, "src_mask");
  const srcKeyPaddingMask = mask(subject, "src_key_padding_mask");
  const src = subject.input("src");
  const y =
    module instanceof TransformerEncoder
      ? module.forward(src, { mask: visible, srcKeyPaddingMask })
      : module.forward(src, { srcMask: visible, srcKeyPaddingMask });
  return { outputs: { y }, parameters };
}

function decoder(subject: Subject): Results {
  const { settings } = subject;
  const layer = new TransformerDecoderLayer(layerOptions(settings));
  const module = settings.has("num_layers")
    ? new TransformerDecoder(layer, stackOptions(settings))
    : layer;
  const parameters = loadParameters(module, subject);
  const y = module.forward(subject.input("tgt"), subject.input("memory"), {
    tgtMask: mask(subject, "tgt_mask"),
    memoryMask: mask(subject, "memory_mask"),
    tgtKeyPaddingMask: mask(subject, "tgt_key_padding_mask"),
    memoryKeyPaddingMask: mask(subject, "memory_key_padding_mask"),
  });
  return { outputs: { y }, parameters };
}

const classes: Readonly<Record<string, (subject: Subject) => Results>> = {
  MultiheadAttention: multiheadAttention,
  TransformerEncoderLayer: encoder,
  TransformerEncoder: encoder,
  TransformerDecoderLayer: decoder,
  TransformerDecoder: decoder,
};

/** Builds the module that `cls` names and calls it on the inputs. */
export const runModule: Runner = (subject) => {
  const name = subject.settings.string("cls")!.replace(/^torch\.nn\./, "");
  const run = classes[name];
  if (run === undefined) throw new Error(`the module "${name}" is unknown`);
  return run(subject);
};
