/** Building the attention, the layer and the encoder from a golden file. */

import { LayerNorm } from "@x/tensor/nn";
import {
  CumulativeLinearMultiheadAttentionKV,
  CumulativeTransformerEncoderKV,
  CumulativeTransformerEncoderLayerKV,
} from "@x/trim";
import { layerOptions } from "../modules.js";
import type { Subject } from "../subject.js";
import { RecordedDropout, RecordedPositions } from "./recorded.js";

type NormName = "norm_q" | "norm_k" | "norm_v";

/** The norm of the heads that the parameters tell of. */
function headNorm(subject: Subject, name: NormName): LayerNorm | null {
  const parameters = subject.names("param");
  const weight = parameters.find((parameter) => parameter.endsWith(`${name}.weight`));
  if (weight === undefined) return null;
  return new LayerNorm(subject.golden(`param.${weight}`).shape, {
    eps: subject.settings.number("norm_eps") ?? 1e-5,
    bias: parameters.includes(weight.replace(/weight$/, "bias")),
  });
}

function headNorms(subject: Subject): Record<"normQ" | "normK" | "normV", LayerNorm | null> {
  return {
    normQ: headNorm(subject, "norm_q"),
    normK: headNorm(subject, "norm_k"),
    normV: headNorm(subject, "norm_v"),
  };
}

function recordedDropout(subject: Subject, number: number): RecordedDropout | null {
  const name = `random.dropout_mask_${number}`;
  if (!subject.recorded.has(name)) return null;
  return new RecordedDropout(subject.settings.number("dropout") ?? 0, subject.leaf(name));
}

/** The attention with heads. */
export function buildAttention(subject: Subject): CumulativeLinearMultiheadAttentionKV {
  const { settings } = subject;
  const attention = new CumulativeLinearMultiheadAttentionKV(
    settings.requiredNumber("embed_dim"),
    settings.requiredNumber("num_heads"),
    {
      dropout: settings.number("dropout") ?? 0,
      bias: settings.boolean("bias") ?? true,
      addBiasKv: settings.boolean("add_bias_kv") ?? false,
      kdim: settings.number("kdim") ?? null,
      vdim: settings.number("vdim") ?? null,
      batchFirst: settings.boolean("batch_first") ?? false,
      scale: settings.number("scale") ?? null,
      ...headNorms(subject),
      compat: "reference",
    },
  );
  attention.dropout = recordedDropout(subject, 0) ?? attention.dropout;
  return attention;
}

function makeLayer(subject: Subject): CumulativeTransformerEncoderLayerKV {
  const { settings } = subject;
  const table = subject.names("param").find((name) => name.endsWith("pos_emb.emb"));
  return new CumulativeTransformerEncoderLayerKV({
    ...layerOptions(settings),
    posEmb: table === undefined ? null : new RecordedPositions(subject.leaf(`param.${table}`)),
    addBiasKv: settings.boolean("add_bias_kv") ?? false,
    scale: settings.number("scale") ?? null,
    ...headNorms(subject),
    compat: "reference",
  });
}

/** Puts the recorded masks of layer number `i` in, four a layer in the order of their use. */
function recordDropouts(
  layer: CumulativeTransformerEncoderLayerKV,
  subject: Subject,
  i: number,
): void {
  const attention = layer.selfAttn;
  attention.dropout = recordedDropout(subject, 4 * i) ?? attention.dropout;
  layer.dropout1 = recordedDropout(subject, 4 * i + 1) ?? layer.dropout1;
  layer.dropout = recordedDropout(subject, 4 * i + 2) ?? layer.dropout;
  layer.dropout2 = recordedDropout(subject, 4 * i + 3) ?? layer.dropout2;
}

/** One layer. */
export function buildLayer(subject: Subject): CumulativeTransformerEncoderLayerKV {
  const layer = makeLayer(subject);
  recordDropouts(layer, subject, 0);
  return layer;
}

/** The encoder. */
export function buildEncoder(subject: Subject): CumulativeTransformerEncoderKV {
  const { settings } = subject;
  const hasNorm = settings.boolean("final_norm") ?? subject.recorded.has("param.norm.weight");
  const options = {
    eps: settings.number("layer_norm_eps") ?? 1e-5,
    bias: subject.recorded.has("param.norm.bias"),
  };
  const norm = hasNorm ? new LayerNorm(settings.requiredNumber("d_model"), options) : null;
  const numLayers = settings.requiredNumber("num_layers");
  const encoder = new CumulativeTransformerEncoderKV(makeLayer(subject), { numLayers, norm });
  [...encoder.layers].forEach((layer, i) => recordDropouts(layer, subject, i));
  return encoder;
}
