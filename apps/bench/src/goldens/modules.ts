/** What recorded modules have in common: their parameters, and the settings of layers. */

import type { Tensor } from "@x/tensor";
import type { ActivationName, Module, TransformerLayerOptions } from "@x/tensor/nn";
import type { Settings } from "./settings.js";
import type { Subject } from "./subject.js";

/** Loads the recorded parameters; gives what `Results` needs to compare their gradients. */
export function loadParameters(module: Module, subject: Subject): ReadonlyMap<string, Tensor> {
  module.loadStateDict(subject.stateDict());
  return new Map<string, Tensor>(module.namedParameters());
}

/** The options of a transformer layer of torch.nn, with its defaults but no dropout. */
export function layerOptions(settings: Settings): TransformerLayerOptions {
  return {
    dModel: settings.requiredNumber("d_model"),
    nHead: settings.requiredNumber("nhead"),
    dimFeedforward: settings.number("dim_feedforward") ?? 2048,
    dropout: settings.number("dropout") ?? 0,
    activation: (settings.string("activation") ?? "relu") as ActivationName,
    layerNormEps: settings.number("layer_norm_eps") ?? 1e-5,
    batchFirst: settings.boolean("batch_first") ?? false,
    normFirst: settings.boolean("norm_first") ?? false,
    bias: settings.boolean("bias") ?? true,
  };
}
