/** Area `trim`: cumulative linear attention and its encoder. */

import type { Device } from "@x/tensor";
import { cumulativeLinearAttn, type CumulativeCall } from "@x/trim";
import { nameIn, runnerNamed, wholeFile, type Part } from "../parts.js";
import type { GoldenFile } from "../golden-file.js";
import { loadParameters } from "../modules.js";
import type { Output, Runner, Subject } from "../subject.js";
import { buildAttention, buildEncoder, buildLayer } from "./models.js";
import { RecordedDropout } from "./recorded.js";
import { runStreaming } from "./streaming.js";

const runFunction: Runner = (subject) => {
  const { settings } = subject;
  const p = settings.number("dropout_p") ?? 0;
  const mask = subject.names("random").find((name) => name.startsWith("dropout_mask"));
  const dropout = mask === undefined ? null : new RecordedDropout(p, subject.leaf(`random.${mask}`));
  const { output, keyValueStore } = cumulativeLinearAttn(
    subject.input("query"),
    subject.input("key"),
    subject.input("value"),
    {
      mask: subject.optionalInput("mask") ?? null,
      isCausal: settings.boolean("is_causal") ?? false,
      scale: settings.number("scale") ?? null,
      enableGqa: settings.boolean("enable_gqa") ?? false,
      kvCache: subject.optionalInput("kv_cache") ?? null,
      ...(dropout && { dropout: (x) => dropout.forward(x) }),
      needStore: true,
      compat: "reference",
    },
  );
  const outputs: Record<string, Output> = { y: output };
  if (keyValueStore) outputs.key_value_store = keyValueStore;
  return { outputs };
};

function callOf(subject: Subject): CumulativeCall {
  return {
    isCausal: subject.settings.boolean("is_causal") ?? false,
    mask: subject.optionalInput("mask") ?? null,
    srcKeyPaddingMask: subject.optionalInput("src_key_padding_mask") ?? null,
  };
}

const runAttention: Runner = (subject) => {
  const attention = buildAttention(subject).train(subject.names("random").length > 0);
  const parameters = loadParameters(attention, subject);
  const query = subject.input("query");
  const key = subject.optionalInput("key") ?? query;
  const value = subject.optionalInput("value") ?? key;
  return { outputs: { y: attention.forward(query, key, value, callOf(subject)) }, parameters };
};

const runLayer: Runner = (subject) => {
  const layer = buildLayer(subject).train(subject.names("random").length > 0);
  const parameters = loadParameters(layer, subject);
  return { outputs: { y: layer.forward(subject.input("src"), callOf(subject)) }, parameters };
};

const runEncoder: Runner = (subject) => {
  const encoder = buildEncoder(subject).train(subject.names("random").length > 0);
  const parameters = loadParameters(encoder, subject);
  return { outputs: { y: encoder.forward(subject.input("src"), callOf(subject)) }, parameters };
};

const classes: Readonly<Record<string, Runner>> = {
  CumulativeLinearMultiheadAttentionKV: runAttention,
  CumulativeTransformerEncoderLayerKV: runLayer,
  CumulativeTransformerEncoderKV: runEncoder,
};

function findRunner({ config }: GoldenFile): Runner {
  if (config.has("prefill")) return runStreaming;
  if (config.string("function") === "cumulative_linear_attn") return runFunction;
  return runnerNamed(classes, nameIn(config));
}

/** A file of area `trim` is one part. */
export function partsOfTrim(file: GoldenFile, device: Device): Part[] {
  return wholeFile(file, device, findRunner(file));
}
