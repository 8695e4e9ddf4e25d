/** Other attention in trained models. */

import { check } from "@x/tensor/checks";
import type { Module } from "@x/tensor/nn";
import type { AttentionSpec } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { MultiHeadAttention } from "../model/attention.js";
import { makeNorm } from "../model/norm.js";
import { mechanismOf } from "../model/parts.js";

/** Options of {@link retrofit}. */
export interface RetrofitOptions {
  /** The layers that are changed, counted from 0. Default: all. */
  readonly layers?: readonly number[];
  /**
   * Whether queries and keys of these layers get norms, head by head, where they have none; they add
   * `q_norm` and `k_norm` to the names. Default: whether the attention is registered as needing them, as
   * a model that is made from the configuration has them; what is said here for some layers only is not
   * part of the configuration.
   */
  readonly qkNorm?: boolean;
}

/** A stack of layers, as far as it is needed here. */
interface Layers {
  readonly config: TransformerConfig;
  /** The self-attention of each layer, and its number. */
  readonly attentions: readonly (readonly [layer: number, attention: MultiHeadAttention])[];
}

/**
 * Puts another attention in the place of the softmax attention of a trained model: a registered one by its
 * name, with options or without, or a mechanism itself. Projections and their names stay, and so does
 * attention to a memory; the configuration says what was put in. Fine-tune the model afterwards.
 *
 * A mechanism that is given as an object is shared by the layers; one with a name is made for each.
 *
 * @param model a `Transformer`, or any model of its layers
 * @returns the attention modules that were changed, in the order of the layers
 * @throws XError `argument` if there is no such layer, a layer has another attention already or computes
 * its own, or the model's positions need scores: ALiBi, sliding windows, `compat`
 * @example
 * ```ts
 * const model = new Transformer(TransformerConfig.tiny({ vocabSize: 20, positions: "rotary" }));
 * const names = Object.keys(model.stateDict());
 * retrofit(model, new SoftmaxAttention(), { layers: [1] });
 * console.log(model.encoder.layers[1]!.selfAttention.mechanism instanceof SoftmaxAttention); // → true
 * console.log(Object.keys(model.stateDict()).length === names.length); // → true
 * console.log(model.forward(zeros([1, 4], { dtype: "int32" })).shape); // → [ 1, 4, 20 ]
 * ```
 *
 * @see Kasai et al.: Finetuning Pretrained Transformers into RNNs (2021)
 */
export function retrofit(
  model: Module,
  attention: AttentionSpec,
  options: RetrofitOptions = {},
): MultiHeadAttention[] {
  const stacks = stacksOf(model);
  check(
    stacks.length > 0,
    "argument",
    () =>
      `retrofit: the model must have layers with attention, got none in ${model.constructor.name}. Pass a Transformer.`,
  );
  const { qkNorm } = options;
  // Everything is checked and made before anything is changed.
  const layers = chosenLayers(stacks, options.layers);
  for (const { config, attentions } of stacks) {
    for (const [layer, module] of attentions) {
      if (layers === null || layers.includes(layer)) checkReplaceable(config, layer, module);
    }
  }
  const after = new Map<TransformerConfig, TransformerConfig>();
  for (const { config } of configured(model)) {
    after.set(config, after.get(config) ?? changedConfig(config, attention, layers, qkNorm));
  }
  const parts = stacks.flatMap(({ config, attentions }) =>
    attentions
      .filter(([layer]) => layers === null || layers.includes(layer))
      .map(([layer, module]) => ({
        module,
        config,
        ...mechanismOf(after.get(config)!, layer),
      })),
  );
  for (const { module, config, mechanism, needsNorm } of parts) {
    module.mechanism = mechanism;
    if (!(qkNorm ?? needsNorm) || module.qNorm !== null) continue;
    module.qNorm = makeNorm(module.headDim, config);
    module.kNorm = makeNorm(module.headDim, config);
  }
  for (const owner of configured(model)) {
    Object.assign(owner, { config: after.get(owner.config) });
  }
  return parts.map(({ module }) => module);
}

type Configured = Module & { readonly config: TransformerConfig };

/** The parts of a model that know its configuration, or that of a part. */
function configured(model: Module): Configured[] {
  return model
    .modules()
    .filter(
      (part): part is Configured =>
        (part as { config?: unknown }).config instanceof TransformerConfig,
    );
}

/** The stacks of layers in a model. */
function stacksOf(model: Module): Layers[] {
  return configured(model).flatMap((owner) => {
    const { layers } = owner as { layers?: unknown };
    if (!isIterable(layers)) return [];
    const attentions = [...layers].flatMap((layer, i) => {
      const { selfAttention } = layer as { selfAttention?: unknown };
      return selfAttention instanceof MultiHeadAttention ? [[i, selfAttention] as const] : [];
    });
    return [{ config: owner.config, attentions }];
  });
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}

/** The layers that are changed, of every stack; `null` for all. */
function chosenLayers(
  stacks: readonly Layers[],
  layers: readonly number[] | undefined,
): readonly number[] | null {
  if (layers === undefined) return null;
  const fewest = Math.min(...stacks.map(({ attentions }) => attentions.length));
  for (const layer of layers) {
    check(
      Number.isInteger(layer) && layer >= 0 && layer < fewest,
      "argument",
      () => `retrofit: layers must be numbers from 0 to ${fewest - 1}, got ${layer}. Correct them.`,
    );
  }
  return layers;
}

/** A configuration that says what was put in. */
function changedConfig(
  config: TransformerConfig,
  attention: AttentionSpec,
  layers: readonly number[] | null,
  qkNorm: boolean | undefined,
): TransformerConfig {
  if (layers === null) {
    return config.with({ attention, ...(qkNorm !== undefined && { qkNorm }) });
  }
  const specs = Array.from({ length: config.nLayers }, (_, layer) =>
    layers.includes(layer) ? attention : config.attentionOf(layer),
  );
  return config.with({ attention: specs });
}

function checkReplaceable(
  config: TransformerConfig,
  layer: number,
  module: MultiHeadAttention,
): void {
  const reason =
    module.mechanism !== null
      ? `${module.mechanism.constructor.name} in layer ${layer} already`
      : module.attend !== MultiHeadAttention.prototype.attend
        ? `${module.constructor.name}, which attends in its own way, in layer ${layer}`
        : config.positions === "alibi"
          ? 'positions: "alibi", which are added to scores'
          : module.slidingWindow !== null
            ? `a sliding window of ${module.slidingWindow} in layer ${layer}`
            : config.compat !== null
              ? `compat: "${config.compat}"`
              : null;
  check(
    reason === null,
    "argument",
    () =>
      `retrofit: the attention that is replaced must be that of softmax without anything that other attention cannot do, got ${reason}. Choose other layers, or a model without it.`,
  );
}
